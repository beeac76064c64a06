"""Key slots: no two secrets are one, and what is refused has changed nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from services.chassis.errors import Aborted, DataLoss, FailedPrecondition
from services.mover.repository import MemoryStore, create_repository
from services.mover.repository.format.names import HEADER, INDEX
from services.mover.repository.types import Bytes
from tests.faults.repository.faulty_store import FaultyStore
from tests.unit.repository.world import MIB, PASSPHRASE, QUICK, back_up, new_repository, noise, reopen


def test_every_recovery_key_is_another_and_opens_by_itself(tmp_path: Path) -> None:
    store = MemoryStore()
    made, first = create_repository(store, PASSPHRASE, tmp_path / "made", cost=QUICK)
    with made:
        keys = [first, *(made.keys.add_recovery_key(f"more-{number}") for number in range(3))]
    assert 4 == len(set(keys))
    for number, key in enumerate(keys):
        with reopen(store, tmp_path / f"{number}", key) as repository:
            assert ("recovery-1", "more-0", "more-1", "more-2")[number] == repository.keys.slot_of(key)


def test_of_the_last_two_keys_none_is_removed_not_even_for_a_moment(tmp_path: Path) -> None:
    store = MemoryStore()
    new_repository(store, tmp_path / "made").close()
    watched = FaultyStore(store)
    with reopen(watched, tmp_path / "here") as repository:
        steps = len(watched.steps)
        with pytest.raises(FailedPrecondition, match="has only 2 working keys"):
            repository.keys.remove_slot("recovery-1")
        assert not [step for step in watched.steps[steps:] if "keys/" in step]


def test_a_creation_whose_keys_another_one_replaced_did_not_happen(tmp_path: Path) -> None:
    class Raced(MemoryStore):
        def put(self, name: str, parts: Sequence[Bytes]) -> None:
            super().put(name, parts)
            if name == HEADER:  # somebody else took our slots for leftovers, just before
                self.objects["keys/passphrase-1"] = b"theirs"

    store = Raced()
    with pytest.raises(Aborted) as raced:
        create_repository(store, PASSPHRASE, tmp_path, cost=QUICK)
    assert "CREATION_RACE" == raced.value.reason
    assert HEADER not in store.objects


def test_a_segment_under_the_name_of_another_is_damage(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path) as repository:
        back_up(repository, "a", noise(MIB, 1))
        back_up(repository, "b", noise(MIB, 2))
        one, other = sorted(name for name in store.objects if name.startswith(INDEX))[:2]
        store.objects[other] = store.objects[one]
        with pytest.raises(DataLoss, match="its content is not what its name says"):
            repository._context.objects.get_segment(bytes.fromhex(other.removeprefix(INDEX)))
