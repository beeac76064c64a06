"""No key seals two things with one nonce: AES-GCM would give both away, and the key of its tags."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.mover.repository import MemoryStore, PruneOptions, Repository
from services.mover.repository import packer as packers
from services.mover.repository.format import crypto
from services.mover.repository.format.names import KEYS
from services.mover.repository.format.slot import parse_slot
from services.mover.repository.types import Bytes
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    PASSPHRASE,
    QUICK,
    back_up,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

A = noise(2 * MIB, 1)
B = overwritten(A, {BLOCK: noise(BLOCK, 2)})


class Sealed:
    """Every key and nonce that something was sealed with in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.pairs: Counter[tuple[bytes, bytes]] = Counter()

    def with_key(self, key: bytes) -> "Recording":
        return Recording(self, key)

    def note(self, key: bytes, nonce: bytes) -> None:
        with self._lock:
            self.pairs[key, nonce] += 1

    @property
    def keys(self) -> set[bytes]:
        return {key for key, _ in self.pairs}


class Recording:
    """AES-GCM, noting what it seals."""

    def __init__(self, sealed: Sealed, key: bytes) -> None:
        self._sealed, self._key, self._cipher = sealed, key, AESGCM(key)
        self.decrypt, self.decrypt_into = self._cipher.decrypt, self._cipher.decrypt_into

    def encrypt(self, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
        self._sealed.note(self._key, nonce)
        return self._cipher.encrypt(nonce, plain, aad)

    def encrypt_into(self, nonce: bytes, plain: Bytes, aad: bytes, place: memoryview) -> int:
        self._sealed.note(self._key, nonce)
        return self._cipher.encrypt_into(nonce, plain, aad, place)


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sealed]:
    sealed = Sealed()
    for module in (crypto, packers):
        monkeypatch.setattr(module, "AESGCM", sealed.with_key)
    yield sealed


def lived_in(store: MemoryStore, folder: Path) -> Repository:
    """All that is ever sealed: several packs of a session, two movers, new keys, a prune."""
    repository = new_repository(store, folder / "here", chunk_bytes=128 * KIB, pack_bytes=512 * KIB)
    repository.keys.add_passphrase("second", PASSPHRASE + " 2", cost=QUICK)
    repository.keys.add_recovery_key("third")
    back_up(repository, "a", A, transfer="t1")
    repository.keys.start_epoch()
    with reopen(store, folder / "there") as other:
        back_up(other, "b", B, base="a", changed=[(BLOCK, BLOCK)], transfer="t2")
        back_up(other, "c", noise(MIB, 3))
    repository.keys.start_epoch()
    repository.delete_point("c", keep=0)
    repository.undelete_point("c")
    repository.delete_point("a", keep=0)
    repository.prune(PruneOptions(grace_seconds=0, patience_seconds=0, retire_through=2))
    return repository


def test_no_key_ever_seals_two_things_with_one_nonce(sealed: Sealed, tmp_path: Path) -> None:
    store = MemoryStore()
    with lived_in(store, tmp_path) as repository:
        assert restored(repository, "b") == B
    assert [] == [nonce.hex() for (_, nonce), times in sealed.pairs.items() if times > 1]
    assert len(sealed.keys) > 20 and len(sealed.pairs) > 60


def test_one_passphrase_in_two_slots_is_stretched_with_two_salts(tmp_path: Path) -> None:
    """Else a guess would be tried on both at once, and one table of guesses would be of use everywhere."""
    store = MemoryStore()
    with new_repository(store, tmp_path) as repository:
        for slot_id in ("second", "third"):
            repository.keys.add_passphrase(slot_id, PASSPHRASE, cost=QUICK)
            repository.keys.add_recovery_key(f"{slot_id}-recovery")
    slots = [parse_slot(store.get(each.name), each.name.removeprefix(KEYS)) for each in store.list(KEYS)]
    assert 6 == len(slots) == len({slot.salt for slot in slots}) == len({slot.nonce for slot in slots})


def test_a_rotation_makes_a_data_key_that_was_not_there_before(tmp_path: Path) -> None:
    with new_repository(MemoryStore(), tmp_path) as repository:
        ring = repository._context.keys
        numbers = [1, repository.keys.start_epoch(), repository.keys.start_epoch()]
        keys = {ring.data_key(number) for number in numbers}
    assert [1, 2, 3] == numbers
    assert None not in keys and len(keys) == 3
