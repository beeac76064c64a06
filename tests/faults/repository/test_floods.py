"""An identity that may only add objects floods the store; a mover is cloned: nobody loses anything by it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from argon2.exceptions import HashingError

from services.chassis.errors import DataLoss, FailedPrecondition, XenkeepError
from services.mover.repository import (
    DirectoryStore,
    MemoryStore,
    create_repository,
    open_repository,
    scrub,
)
from services.mover.repository.format import canonical, slot
from services.mover.repository.format.names import MAX_CLEAR_BYTES, MAX_OBJECT_BYTES
from services.mover.repository.format.pack import HEADER_BYTES, PackHeader
from tests.support.injections import Injections
from tests.unit.repository.world import (
    MIB,
    PASSPHRASE,
    QUICK,
    back_up,
    new_repository,
    noise,
    reopen,
    restored,
)

CONTENT = noise(2 * MIB)
NEXT = noise(2 * MIB, 1)


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    made = MemoryStore()
    with new_repository(made, tmp_path / "c") as repository:
        back_up(repository, "p", CONTENT)
    return made


def _false_damage(store: MemoryStore) -> None:
    for name in [name for name in store.objects if name.startswith("packs/")]:
        store.objects[f"damage/{name.rpartition('/')[2]}"] = b"says who?"


def _costly_slots(store: MemoryStore) -> None:
    """Slots that would take 4 GiB and a minute each to try, before the right one by name."""
    planted = canonical.decode_object(store.objects["keys/passphrase-1"], "slot")
    for number in range(20):
        name = f"a-{number}"
        planted |= {"slot": name, "kdf": planted["kdf"] | {"memory_kib": 4 << 20, "time": 64}}
        store.objects[f"keys/{name}"] = canonical.encode(planted)


def _high_numbers(store: MemoryStore) -> None:
    store.objects["checkpoints/t/99999998"] = noise(300)
    store.objects["epochs/99999998"] = noise(108)


FLOODS: dict[str, Callable[[MemoryStore], None]] = {
    "damage records of whole packs": _false_damage,
    "index segments": lambda store: store.objects.update(
        {f"index/{n:064x}": noise(300, n) for n in range(300)}
    ),
    "points": lambda store: store.objects.update({f"points/x{n}": noise(300, n) for n in range(300)}),
    "packs": lambda store: store.objects.update(
        {f"packs/data/00/00{n:062x}": noise(300, n) for n in range(300)}
    ),
    "key slots that cost gigabytes": _costly_slots,
    "key slots that are large": lambda store: store.objects.update(
        {f"keys/b{n}": b"[" + b"[]," * MAX_CLEAR_BYTES for n in range(3)}
    ),
    "checkpoints and epochs with high numbers": _high_numbers,
    "names that are none": lambda store: store.objects.update({f"{n}/x y\n{n}": b"" for n in range(100)}),
}


@pytest.mark.scenario(43)
@pytest.mark.parametrize("flood", sorted(FLOODS))
def test_a_flood_of_junk_costs_no_point_and_no_backup(store: MemoryStore, tmp_path: Path, flood: str) -> None:
    FLOODS[flood](store)
    with reopen(store, tmp_path / "a") as repository:
        assert restored(repository, "p") == CONTENT
        repository.verify(full=False)
        assert repository.known_damage("p") == ""
        back_up(repository, "q", NEXT, base="p", changed=[(0, len(NEXT))], transfer="t")
        assert restored(repository, "q") == NEXT


@pytest.mark.scenario(43)
def test_a_planted_feature_stops_everything_and_says_what_it_is(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["features/mandatory.evil"] = b""
    with pytest.raises(FailedPrecondition, match="evil"):
        reopen(store, tmp_path / "a")
    del store.objects["features/mandatory.evil"]
    with reopen(store, tmp_path / "a") as repository:
        assert restored(repository, "p") == CONTENT


@pytest.mark.scenario(36, 43)
@pytest.mark.parametrize("size", [MAX_OBJECT_BYTES + 1, 1 << 40])
def test_an_object_larger_than_memory_is_refused_before_it_is_read(
    tmp_path: Path, size: int, injections: Injections
) -> None:
    place = tmp_path / "store"
    with new_repository(DirectoryStore(place, create=True), tmp_path / "c") as repository:
        back_up(repository, "p", CONTENT)
    planted = [
        "points/large",
        "index/" + "ab" * 32,
        "packs/data/ab/" + "ab" * 32,
        "keys/large",
        "epochs/00000007",
    ]
    for name in planted:
        (place / name).parent.mkdir(exist_ok=True)
        with (place / name).open("wb") as file:
            os.truncate(file.fileno(), size)
        with injections.one(), reopen(DirectoryStore(place), tmp_path / "c") as repository:
            assert restored(repository, "p") == CONTENT
            found = {finding.object for finding in repository.verify(full=True).findings}
            assert name in found or name.startswith(("keys/", "epochs/"))
    assert {*planted[:3]} <= {finding.object for finding in scrub(DirectoryStore(place))}
    with pytest.raises(DataLoss, match="more than any object has"):
        DirectoryStore(place).get("points/large")


@pytest.mark.scenario(43)
def test_two_clones_of_a_mover_share_no_pack_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, injections: Injections
) -> None:
    """Both continue from one state of the kernel's random generator, and seal different content."""
    store = MemoryStore()
    create_repository(store, PASSPHRASE, tmp_path / "c", cost=QUICK, pack_bytes=MIB)[0].close()
    for clone in ("a", "b"):
        state = [0]

        def the_same_again(length: int, state: list[int] = state) -> bytes:
            state[0] += 1
            return noise(length, state[0])

        with monkeypatch.context() as patch:
            patch.setattr(os, "urandom", the_same_again)
            with open_repository(store, PASSPHRASE, tmp_path / clone) as repository:
                back_up(repository, clone, CONTENT if clone == "a" else NEXT)
    packs = [data for name, data in store.objects.items() if name.startswith("packs/")]
    salts = {PackHeader.decode(data[:HEADER_BYTES], "it").salt for data in packs}
    with injections.one():
        assert len(packs) == len(salts) > 4


@pytest.mark.scenario(42, 43)
def test_a_key_slot_that_no_machine_can_try_is_told_from_a_wrong_passphrase(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> bytes:
        raise HashingError("Memory allocation error")

    monkeypatch.setattr(slot, "stretch_passphrase", no_memory)
    with pytest.raises(XenkeepError, match="recovery key") as caught:
        reopen(store, tmp_path / "a")
    assert caught.value.reason == "KEY_SLOT_TOO_COSTLY"
