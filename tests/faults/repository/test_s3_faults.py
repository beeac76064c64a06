"""S3 that is slow, busy, cut, lying, refusing: an object is right or there is a clear error."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    PermissionDenied,
    Unavailable,
    XenkeepError,
)
from services.mover.repository.format.names import HEADER
from services.mover.repository.stores import s3_place
from services.mover.repository.stores.s3 import S3Store
from tests.support.faulty_http import FaultyProxy, faulty_proxy
from tests.support.seaweed import Seaweed
from tests.unit.repository.world import MIB, back_up, new_repository, noise, reopen, restored


@pytest.fixture
def proxy(seaweed: Seaweed) -> Iterator[FaultyProxy]:
    with faulty_proxy(seaweed.endpoint) as running:
        yield running


class World:
    """A store behind the proxy that does not really wait, and what it told."""

    def __init__(self, seaweed: Seaweed, proxy: FaultyProxy, prefix: str) -> None:
        self.pauses: list[float] = []
        self.notices: list[str] = []
        self.direct = seaweed.store(prefix)
        self.store = S3Store(
            seaweed.place(prefix, endpoint=proxy.endpoint),
            credentials=seaweed.credentials,
            pause=self.pauses.append,
            on_notice=lambda code, message: self.notices.append(f"{code} {message}"),
        )


@pytest.fixture
def world(seaweed: Seaweed, proxy: FaultyProxy, tmp_path: Path) -> World:
    made = World(seaweed, proxy, tmp_path.name)
    made.store.put("first", [b"the store is proven"])
    return made


@pytest.mark.scenario(11)
def test_a_storm_of_slow_down_is_waited_out_longer_and_longer(world: World, proxy: FaultyProxy) -> None:
    proxy.first(4, (503, "SlowDown"))
    world.store.put("points/p", [b"content"])
    assert b"content" == world.direct.get("points/p")
    assert 4 == len(world.pauses)
    assert world.pauses[3] > world.pauses[0]
    assert 4 == len([notice for notice in world.notices if "SlowDown (503)" in notice])


@pytest.mark.scenario(11)
@pytest.mark.parametrize("fault", [(500, "InternalError"), (503, "SlowDown"), "lost"])
def test_a_storm_without_end_is_an_error_that_names_the_object(
    world: World, proxy: FaultyProxy, fault: str | tuple[int, str]
) -> None:
    proxy.first(1000, fault)
    with pytest.raises(Unavailable, match="read first"):
        world.store.get("first")
    assert 5 == len(world.pauses)


@pytest.mark.scenario(9)
def test_a_put_whose_answer_was_lost_is_known_as_done(world: World, proxy: FaultyProxy) -> None:
    proxy.first(1, "lost", "PUT")
    world.store.put("points/p", [b"content"])
    assert b"content" == world.direct.get("points/p")
    assert 1 == len(world.notices)


@pytest.mark.scenario(9)
def test_a_lost_answer_does_not_make_anothers_object_ours(world: World, proxy: FaultyProxy) -> None:
    world.direct.put("points/p", [b"content"])
    proxy.first(1, "lost", "PUT")
    with pytest.raises(AlreadyExists):
        world.store.put("points/p", [b"content"])


@pytest.mark.scenario(13)
@pytest.mark.parametrize("fault", ["cut", "flip", "lost"])
def test_a_body_that_is_cut_or_changed_on_its_way_is_read_again(
    world: World, proxy: FaultyProxy, fault: str
) -> None:
    world.direct.put("x", [noise(100_000)])
    proxy.first(1, fault, "GET")
    assert noise(100_000) == world.store.get("x")
    assert 1 == len(world.notices)
    proxy.first(1, fault, "GET")
    with world.store.lend("x", 0, 100_000) as lent:
        assert lent == noise(100_000)
    assert 2 == len(world.notices)


@pytest.mark.scenario(13)
@pytest.mark.parametrize("fault", ["cut", "other"])
def test_a_range_is_the_one_asked_for(world: World, proxy: FaultyProxy, fault: str) -> None:
    world.direct.put("x", [b"0123456789"])
    proxy.first(1, fault, "GET")
    assert b"3456" == world.store.get("x", 3, 4)
    assert 1 == len(world.notices)
    proxy.first(1, fault, "GET")
    with world.store.lend("x", 3, 4) as lent:
        assert bytes(lent) == b"3456"
    assert 2 == len(world.notices)


@pytest.mark.scenario(12)
def test_a_server_that_does_not_answer_is_given_up(
    world: World, proxy: FaultyProxy, seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3_place, "READ_SECONDS", 0.2)
    store = World(seaweed, proxy, tmp_path.name).store
    proxy.first(1000, "hang")
    with pytest.raises(Unavailable, match="ReadTimeoutError"):
        store.size("first")


@pytest.mark.scenario(16)
def test_a_store_that_overwrites_is_refused_before_the_first_object(
    seaweed: Seaweed, proxy: FaultyProxy, tmp_path: Path
) -> None:
    world = World(seaweed, proxy, tmp_path.name)
    proxy.fault = lambda method, _: (200, "") if method == "PUT" else None
    with pytest.raises(FailedPrecondition, match="ignores If-None-Match") as caught:
        world.store.put("points/p", [b"content"])
    assert "STORE_UNSUITABLE" == caught.value.reason
    assert [] == list(world.direct.list(""))


@pytest.mark.scenario(16)
def test_a_store_that_overwrites_is_refused_where_a_repository_is_too(
    seaweed: Seaweed, proxy: FaultyProxy, tmp_path: Path
) -> None:
    """Its header, put again as it is, is not refused: somebody moved the bucket to another server."""
    world = World(seaweed, proxy, tmp_path.name)
    world.direct.put(HEADER, [b"a header"])
    proxy.fault = lambda method, _: (200, "") if method == "PUT" else None
    with pytest.raises(FailedPrecondition, match="ignores If-None-Match"):
        world.store.put("points/p", [b"content"])
    assert [HEADER] == [stored.name for stored in world.direct.list("")]


@pytest.mark.parametrize(
    ("later", "swept"), [(timedelta(), 0), (timedelta(days=-3), 0), (timedelta(hours=25), 1)]
)
def test_what_a_proof_left_is_swept_when_it_is_a_day_old_and_nothing_else_is(
    seaweed: Seaweed, tmp_path: Path, later: timedelta, swept: int
) -> None:
    """A younger one may belong to a proof that runs; a clock that was set back makes none older."""
    store = S3Store(
        seaweed.place(tmp_path.name),
        credentials=seaweed.credentials,
        now=lambda: datetime.now(UTC) + later,
    )
    store.put("packs/p", [b"kept"])
    store._create(".probe-0", [b"cut short"])
    assert swept == store.sweep()
    assert 1 - swept == len(list(store._keys(".probe-")))
    assert b"kept" == store.get("packs/p")


@pytest.mark.scenario(15, 17, 18)
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((403, "AccessDenied"), "STORE_REFUSED"),
        ((405, "MethodNotAllowed"), "STORE_REFUSED"),
        ((400, "ExpiredToken"), "STORE_CREDENTIALS_EXPIRED"),
        ((403, "RequestTimeTooSkewed"), "STORE_CLOCK_SKEWED"),
        ((403, "InvalidObjectState"), "OBJECT_ARCHIVED"),
        ((301, "PermanentRedirect"), "STORE_REGION_WRONG"),
        ((507, "XMinioStorageFull"), "STORE_FULL"),
        ((501, "NotImplemented"), "STORE_UNSUITABLE"),
        ((404, "NoSuchBucket"), "STORE_MISSING"),
        ((400, "InvalidRequest"), "STORE_UNSUITABLE"),
    ],
)
def test_what_does_not_pass_is_told_at_once(
    world: World, proxy: FaultyProxy, answer: tuple[int, str], reason: str
) -> None:
    proxy.first(1000, answer)
    with pytest.raises(XenkeepError) as caught:
        world.store.put("points/p", [b"content"])
    assert (reason, []) == (caught.value.reason, world.pauses)
    assert caught.value.hint


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_to_nowhere_is_asked_about_once(world: World, proxy: FaultyProxy, status: int) -> None:
    proxy.first(1000, (status, "PermanentRedirect"))
    proxy.requests.clear()
    with pytest.raises(FailedPrecondition) as caught:
        world.store.get("first")
    assert "STORE_REGION_WRONG" == caught.value.reason
    assert ["GET", "HEAD"] == [method for method, _ in proxy.requests]


@pytest.mark.scenario(18, 43)
def test_rights_that_are_missing_are_told(seaweed: Seaweed, tmp_path: Path) -> None:
    seaweed.store(tmp_path.name).put("x", [b"content"])
    reader = seaweed.store(tmp_path.name, "reader")
    assert b"content" == reader.get("x")
    with pytest.raises(PermissionDenied) as put:
        reader.put("y", [b""])
    with pytest.raises(PermissionDenied) as deleted:
        reader.delete("x")
    assert "STORE_REFUSED" == put.value.reason == deleted.value.reason
    assert b"content" == reader.get("x")


@pytest.mark.scenario(18)
def test_credentials_are_read_again_when_their_file_changes(seaweed: Seaweed, tmp_path: Path) -> None:
    file = seaweed.credentials / f"changing-{tmp_path.name}"
    file.write_bytes((seaweed.credentials / "stranger").read_bytes())
    store = seaweed.store(tmp_path.name, file.name)
    with pytest.raises(PermissionDenied) as caught:
        store.put("x", [b"content"])
    assert "STORE_CREDENTIALS_WRONG" == caught.value.reason
    assert "stranger" not in str(caught.value)
    file.write_bytes((seaweed.credentials / "admin").read_bytes())
    store.put("x", [b"content"])


@pytest.mark.scenario(14)
def test_a_listing_of_more_than_a_thousand_is_complete(seaweed: Seaweed, tmp_path: Path) -> None:
    store = seaweed.store(tmp_path.name)
    names = {f"index/{number:04d}" for number in range(1005)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: store.put(name, [b"x"]), names))
    assert names == {stored.name for stored in store.list("index/")}


@pytest.mark.scenario(8)
def test_what_was_stored_otherwise_than_sent_is_told(
    world: World, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S3Store, "_mark", lambda _: "the same")
    world.direct.put("points/p", [b"something else"])
    proxy.first(1, "lost", "PUT")
    with pytest.raises(DataLoss, match="reads back as something else"):
        world.store.put("points/p", [b"content"])


@pytest.mark.scenario(7, 8)
def test_a_checksum_of_something_else_in_the_answer_to_a_put_is_told(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    class Lying:
        def put_object(self, **_: object) -> dict[str, str]:
            return {"ChecksumSHA256": "of something else"}

    with pytest.raises(DataLoss, match="stored as something else") as told:
        seaweed.store(tmp_path.name)._put_once(Lying(), "points/p", [b"content"], "mark")
    assert "STORE_CORRUPTS" == told.value.reason


@pytest.mark.scenario(11)
def test_a_repository_in_a_busy_bucket_holds_what_was_backed_up(
    world: World, proxy: FaultyProxy, seaweed: Seaweed, tmp_path: Path
) -> None:
    store = World(seaweed, proxy, f"{tmp_path.name}-repository").store
    asked = 0

    def every_fifth(method: str, _path: str) -> tuple[int, str] | str | None:
        nonlocal asked
        asked += 1
        return {0: (503, "SlowDown"), 2: "lost" if method == "PUT" else None}.get(asked % 5)

    proxy.fault = every_fifth
    content = noise(3 * MIB + 512)
    with new_repository(store, tmp_path / "one") as repository:
        back_up(repository, "p", content)
    with reopen(store, tmp_path / "other") as repository:
        assert content == restored(repository, "p")
        assert () == repository.verify(full=True).findings


@pytest.mark.scenario(18)
def test_credentials_that_expire_in_the_middle_end_a_backup_and_it_goes_on_with_fresh_ones(
    world: World, proxy: FaultyProxy, seaweed: Seaweed, tmp_path: Path
) -> None:
    here = World(seaweed, proxy, f"{tmp_path.name}-repository")
    content = noise(4 * MIB)
    with new_repository(here.store, tmp_path / "one", pack_bytes=MIB) as repository:
        packs = 0

        def after_two_packs(method: str, path: str) -> tuple[int, str] | None:
            nonlocal packs
            packs += method == "PUT" and "/packs/" in path
            return (400, "ExpiredToken") if packs > 2 else None

        proxy.fault = after_two_packs
        with pytest.raises(PermissionDenied) as caught:
            back_up(repository, "p", content, transfer="t")
        assert "STORE_CREDENTIALS_EXPIRED" == caught.value.reason
        assert "read again by itself" in caught.value.hint
        proxy.fault = lambda _method, _path: None
        assert [] == repository.list_points()
        stored = {stored.name for stored in here.direct.list("packs/data/")}
        assert 2 == len(stored)
        back_up(repository, "p", content, transfer="t")
        assert stored < {stored.name for stored in here.direct.list("packs/data/")}
        assert content == restored(repository, "p")
        assert () == repository.verify(full=True).findings
    assert [] == here.pauses, "what does not pass is not tried again"


@pytest.mark.scenario(18)
def test_a_bucket_that_allows_nothing_is_no_empty_one(
    world: World, proxy: FaultyProxy, seaweed: Seaweed, tmp_path: Path
) -> None:
    here = World(seaweed, proxy, f"{tmp_path.name}-repository")
    with new_repository(here.direct, tmp_path / "made") as repository:
        back_up(repository, "p", noise(MIB))
    before = sorted(stored.name for stored in here.direct.list(""))
    proxy.fault = lambda _method, _path: (403, "AccessDenied")
    for call in (new_repository, reopen):
        with pytest.raises(PermissionDenied) as caught:
            call(here.store, tmp_path / "cache")
        assert "STORE_REFUSED" == caught.value.reason
    assert before == sorted(stored.name for stored in here.direct.list(""))
