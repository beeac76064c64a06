"""What a holder of the root key can derive; the only place a root key stays."""

import threading
from typing import Final

from services.chassis.errors import FailedPrecondition
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.crypto import hkdf
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.epoch import EpochRecord

GENERATION: Final = 1
"""The root generation version 1 writes."""


class KeyRing:
    """Keys of one repository, derived once. Never printed: its repr names nothing but the repository.

    ``wipe`` overwrites the root key and the data keys. What was handed out of them is freed by then, and a
    test finds nothing of it; but Python can be asked for no more than that, and the keys of ids stay.
    """

    def __init__(self, root: bytes, repository_id: bytes) -> None:
        self._root: Final = bytearray(root)
        self.repository_id = repository_id
        self.id_keys: Final = {
            type_: hkdf(root, repository_id, b"xenkeep/1 id " + type_.name.lower().encode())
            for type_ in BlobType
        }
        self.cut_key: Final = hkdf(root, repository_id, b"xenkeep/1 cut", 16)
        self.revocation_key: Final = hkdf(root, repository_id, b"xenkeep/1 revocation")
        self._data_keys: dict[int, bytearray] = {}
        self._lock = threading.Lock()
        self._wiped = False

    def __repr__(self) -> str:
        return f"KeyRing({self.repository_id.hex()})"

    @property
    def root(self) -> bytes:
        """A copy, for this moment; raises FailedPrecondition when the keys were wiped."""
        with self._lock:
            if self._wiped:
                raise FailedPrecondition(
                    "The repository was closed, and its keys are gone from memory.",
                    reason="REPOSITORY_CLOSED",
                    hint="Open it again.",
                )
            return bytes(self._root)

    def learn(self, record: EpochRecord, what: str) -> bytes:
        """The data key in a record; the first of each epoch is remembered.

        Raises DataLoss naming ``what`` when it does not open. Two copies of a repository that were written to
        apart may have two data keys of one number.
        """
        if record.generation != GENERATION:
            raise damaged(what, f"it needs root key generation {record.generation}, which is not here")
        learnt = record.data_key(self.root, self.repository_id, what)
        with self._lock:
            if not self._wiped:
                self._data_keys.setdefault(record.epoch, bytearray(learnt))
        return learnt

    def data_key(self, epoch: int) -> bytes | None:
        """The data key of an epoch learnt before."""
        with self._lock:
            known = self._data_keys.get(epoch)
            return None if known is None else bytes(known)

    def forget(self, epoch: int) -> None:
        """Nothing is sealed with this epoch's key any more."""
        with self._lock:
            _overwrite(self._data_keys.pop(epoch, bytearray()))

    def wipe(self) -> None:
        """Overwrite the root key and every data key: nothing can be opened or sealed after that."""
        with self._lock:
            self._wiped = True
            for key in (self._root, *self._data_keys.values()):
                _overwrite(key)
            self._data_keys.clear()
            self.id_keys.clear()


def _overwrite(key: bytearray) -> None:
    key[:] = bytes(len(key))
