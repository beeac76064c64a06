"""Copies from mover to mover: sealed, resumed, never deleted from afar, and kept without a key."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.errors import (
    Cancelled,
    DataLoss,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    XenkeepError,
)
from services.mover.domain.rates import RateLimit, RateLimits
from tests.integration.mover.replica_site import MIB, ReplicaSite, SendingSite
from tests.support.waiting import until_true
from tests.unit.repository.world import restored


@pytest.fixture
async def sending(tmp_path: Path) -> AsyncIterator[SendingSite]:
    site = SendingSite(tmp_path / "sending")
    with site.repository:
        yield site


@pytest.fixture
def keeping(tmp_path: Path) -> ReplicaSite:
    return ReplicaSite(tmp_path / "keeping")


def require_whole(sending: SendingSite, keeping: ReplicaSite) -> None:
    with keeping.opened(sending.repository, sending.folder / "elsewhere") as copy:
        assert {point: restored(copy, point) for point in copy.list_points()} == sending.contents
        assert copy.verify(full=True).findings == ()
    assert not list(keeping.copy(sending.repository).glob("leases/*/*"))
    assert not list(keeping.arriving.glob("*/*"))


async def test_a_copy_goes_to_a_mover_without_a_key_and_what_is_new_follows(
    sending: SendingSite, keeping: ReplicaSite
) -> None:
    sending.back_up("a", 5 * MIB, 1)
    async with keeping.serving() as address:
        report = await sending.copy(address)
        assert report.copied_points == ["a"]
        require_whole(sending, keeping)
        sending.back_up("b", 3 * MIB, 2)
        report = await sending.copy(address)
        assert (report.copied_points, report.known_points, report.found_packs) == (["b"], 1, 0)
        assert 3 * MIB < report.copied_bytes < 3.1 * MIB
    require_whole(sending, keeping)
    assert sending.notices == []


async def test_what_is_deleted_here_stays_there_and_nothing_there_can_be_deleted_from_here(
    sending: SendingSite, keeping: ReplicaSite
) -> None:
    sending.back_up("a", MIB, 1)
    sending.back_up("b", MIB, 2)
    async with keeping.serving() as address, sending.line(address) as store:
        await sending.copy(address)
        sending.repository.delete_point("a", purge=True)
        sending.repository.prune()
        await sending.copy(address)
        require_whole(sending, keeping)
        names = [stored.name for stored in await asyncio.to_thread(lambda: list(store.list("")))]
        assert {name.partition("/")[0] for name in names} >= {"packs", "points", "index", "keys", "epochs"}
        for name in names:
            with pytest.raises(PermissionDenied):
                await asyncio.to_thread(store.delete, name)
            with pytest.raises(XenkeepError) as refused:
                await asyncio.to_thread(store.put, name, [b"another"])
            assert refused.value.kind in ("AlreadyExists", "DataLoss")
    require_whole(sending, keeping)


async def test_packs_are_not_given_out_again(sending: SendingSite, keeping: ReplicaSite) -> None:
    sending.back_up("a", MIB, 1)
    async with keeping.serving() as address, sending.line(address) as store:
        await sending.copy(address)
        pack = next(stored.name for stored in sending.here.list("packs/"))
        with pytest.raises(PermissionDenied, match="not given out"):
            await asyncio.to_thread(store.get, pack)
        point = await asyncio.to_thread(store.get, "points/a")
        assert point == sending.here.get("points/a")
        assert await asyncio.to_thread(store.get, "points/a", 8, 4) == point[8:12]
        with pytest.raises(NotFound):
            await asyncio.to_thread(store.size, "points/b")


@pytest.mark.scenario(43)
async def test_what_is_no_object_of_the_repository_is_refused(
    sending: SendingSite, keeping: ReplicaSite
) -> None:
    sending.back_up("a", MIB, 1)
    other = SendingSite(sending.folder.parent / "other")
    other.back_up("x", MIB, 3)

    def foreign(prefix: str) -> tuple[str, bytes]:
        name = next(stored.name for stored in other.here.list(prefix))
        return name, other.here.get(name)

    wrong = b"no pack" * 100
    zeros = hashlib.sha256(wrong).hexdigest()
    with other.repository:
        bad: list[tuple[str, bytes, type[XenkeepError]]] = [
            ("../outside", b"x", PermissionDenied),
            ("packs/data/../../../x", b"x", PermissionDenied),
            (".hidden", b"x", PermissionDenied),
            ("letters.txt", b"x", PermissionDenied),
            ("prune/" + "0" * 32, b"x", PermissionDenied),
            ("damage/" + "0" * 64, b"x", PermissionDenied),
            ("trash/a/000000000001", b"x", PermissionDenied),
            ("checkpoints/a/00000001", b"x", PermissionDenied),
            (f"packs/data/{zeros[:2]}/{zeros}", wrong, DataLoss),
            (f"packs/data/00/{'0' * 64}", wrong, DataLoss),
            (f"index/{zeros}", wrong, DataLoss),
            ("points/b", b"XKREVOK1" + bytes(56), DataLoss),
            ("points/b", b"nothing", DataLoss),
            ("keys/passphrase-9", b"{}", DataLoss),
            ("epochs/00000009", b"key", DataLoss),
            ("leases/b/00000001", b"{}", DataLoss),
            ("features/writer.x", bytes(100), InvalidInput),
            ("xenkeep-repository.json", b"{}", DataLoss),
            *((*foreign(prefix), DataLoss) for prefix in ("packs/", "index/", "points/", "keys/", "xenkeep")),
        ]
        async with keeping.serving() as address, sending.line(address) as store:
            for name, data, expected in bad:
                with pytest.raises(expected):
                    await asyncio.to_thread(store.put, name, [data])
            assert await asyncio.to_thread(lambda: list(store.list(""))) == []
    assert not [path for path in keeping.folder.rglob("*") if path.is_file()]


async def test_a_mover_that_keeps_no_copies_says_so(sending: SendingSite, keeping: ReplicaSite) -> None:
    async with keeping.serving(where=False) as address:
        with pytest.raises(FailedPrecondition, match="keeps no copies"):
            await sending.copy(address)


@pytest.mark.scenario(46)
async def test_a_receiver_that_is_away_for_a_while_is_waited_for_and_nothing_durable_is_sent_again(
    sending: SendingSite, keeping: ReplicaSite
) -> None:
    sending.back_up("a", 8 * MIB, 1)
    slow = RateLimits((RateLimit(0, 0, 4 * MIB),))
    async with keeping.serving() as address:
        copying = asyncio.ensure_future(sending.copy(address, slow))
        packs = keeping.copy(sending.repository) / "packs/data"
        await until_true(lambda: bool(list(packs.glob("*/*"))))
    async with keeping.serving():
        report = await copying
    assert report.copied_points == ["a"]
    assert "COPY_LINE_CUT" in {code for code, _ in sending.notices}
    require_whole(sending, keeping)


async def test_a_cancelled_copy_ends_soon_and_gives_its_leases_back(
    sending: SendingSite, keeping: ReplicaSite
) -> None:
    sending.back_up("a", 4 * MIB, 1)
    never = RateLimits((RateLimit(0, 0, 0),))
    async with keeping.serving() as address:
        copying = asyncio.ensure_future(sending.copy(address, never))
        leases = keeping.copy(sending.repository) / "leases"
        await until_true(lambda: bool(list(leases.glob("*/*"))))
        sending.cancel.set()
        with pytest.raises(Cancelled):
            await copying
        assert not list(leases.glob("*/*"))
        sending.cancel.clear()
        await sending.copy(address)
    require_whole(sending, keeping)


async def test_rates_hold_within_a_pack(sending: SendingSite, keeping: ReplicaSite) -> None:
    sending.back_up("a", 2 * MIB, 1)
    loop = asyncio.get_running_loop()
    async with keeping.serving() as address:
        began = loop.time()
        await sending.copy(address, RateLimits((RateLimit(0, 0, MIB),)))
        assert loop.time() - began > 1.5
    require_whole(sending, keeping)


async def test_what_nobody_went_on_with_for_a_week_is_gone_when_the_next_copy_begins(
    sending: SendingSite, keeping: ReplicaSite
) -> None:
    folder = keeping.arriving / ("0" * 32)
    folder.mkdir(parents=True)
    old, young = folder / "old", folder / "young"
    for file, days in ((old, 8), (young, 6)):
        file.write_bytes(b"half")
        moment = time.time() - days * 86400
        os.utime(file, (moment, moment))
    sending.back_up("a", MIB, 1)
    async with keeping.serving() as address:
        await sending.copy(address)
    assert (False, True) == (old.exists(), young.exists())


async def test_a_mover_of_an_earlier_release_is_asked_one_by_one(
    sending: SendingSite, keeping: ReplicaSite
) -> None:
    sending.back_up("a", 3 * MIB, 1)
    sending.back_up("b", 1000, 2)
    async with keeping.serving(lacks=("GetObjects", "PutObjects", "ReleaseLeases")) as address:
        assert {*(await sending.copy(address)).copied_points} == {"a", "b"}
    require_whole(sending, keeping)
    assert sending.notices == []
