"""What a holder of the root key can derive; the only place a root key stays."""

import threading
from typing import Final

from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.crypto import hkdf
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.epoch import EpochRecord

GENERATION: Final = 1
"""The root generation version 1 writes."""


class KeyRing:
    """Keys of one repository, derived once. Never printed: its repr names nothing but the repository."""

    def __init__(self, root: bytes, repository_id: bytes) -> None:
        self.root = root
        self.repository_id = repository_id
        self.id_keys: Final = {
            type_: hkdf(root, repository_id, b"xenkeep/1 id " + type_.name.lower().encode())
            for type_ in BlobType
        }
        self.cut_key: Final = hkdf(root, repository_id, b"xenkeep/1 cut", 16)
        self.revocation_key: Final = hkdf(root, repository_id, b"xenkeep/1 revocation")
        self._data_keys: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KeyRing({self.repository_id.hex()})"

    def learn(self, record: EpochRecord, what: str) -> bytes:
        """The data key in a record, remembered; raises DataLoss naming ``what`` when it does not open."""
        if record.generation != GENERATION:
            raise damaged(what, f"it needs root key generation {record.generation}, which is not here")
        with self._lock:
            known = self._data_keys.get(record.epoch)
        if known is None:
            known = record.data_key(self.root, self.repository_id, what)
            with self._lock:
                self._data_keys[record.epoch] = known
        return known

    def data_key(self, epoch: int) -> bytes | None:
        """The data key of an epoch learnt before."""
        with self._lock:
            return self._data_keys.get(epoch)
