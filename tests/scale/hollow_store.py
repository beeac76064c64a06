"""A store that says it has terabytes of data packs, and has none: only what is read of it is there."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from services.chassis.errors import NotFound
from services.mover.repository import DirectoryStore, StoredObject
from services.mover.repository.format.names import PACKS, pack_name, parse_pack_name

PACK_BYTES: Final = 32 << 20
_MULTIPLIER: Final = 0x9E3779B97F4A7C15
_WORD: Final = 1 << 64
_INVERSE: Final = pow(_MULTIPLIER, -1, _WORD)


def hollow_pack(number: int) -> bytes:
    """The SHA-256 that a pack of nothing pretends to have; the number can be told from it."""
    head = (number * _MULTIPLIER % _WORD).to_bytes(8, "big")
    return head + hashlib.sha256(head).digest()[:24]


class HollowStore(DirectoryStore):
    """A directory with everything but the first ``packs`` data packs, of 32 MiB each.

    Those are listed among the packs and can be deleted; a file keeps which. Nobody may read one.
    """

    def __init__(self, folder: Path, packs: int, gone: Path, *, create: bool = False) -> None:
        super().__init__(folder, create=create)
        self._packs = packs
        self._file = gone
        self._lock = threading.Lock()
        self._gone = bytearray(gone.read_bytes()) if gone.exists() else bytearray(-(-packs // 8))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        yield from super().list(prefix)
        if prefix == PACKS:
            for number in range(self._packs):
                if self._is_there(number):
                    yield StoredObject(pack_name("data", hollow_pack(number)), PACK_BYTES)

    def size(self, name: str) -> int:
        number = self._number(name)
        if number is None:
            return super().size(name)
        if not self._is_there(number):
            raise NotFound(f"{name} is deleted.", reason="OBJECT_MISSING", hint="None.")
        return PACK_BYTES

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        assert self._number(name) is None, f"{name} is only said to be there"
        return super().get(name, offset, length)

    def delete(self, name: str) -> None:
        number = self._number(name)
        if number is None:
            super().delete(name)
            return
        with self._lock:
            if not self._is_there(number):
                raise NotFound(f"{name} is deleted.", reason="OBJECT_MISSING", hint="None.")
            self._gone[number >> 3] |= 1 << (number & 7)

    def save(self) -> None:
        """Keep what was deleted."""
        self._file.write_bytes(self._gone)

    def _is_there(self, number: int) -> bool:
        return number < self._packs and not self._gone[number >> 3] >> (number & 7) & 1

    @staticmethod
    def _number(name: str) -> int | None:
        parsed = parse_pack_name(name)
        if parsed is None:
            return None
        number = int.from_bytes(parsed[1][:8], "big") * _INVERSE % _WORD
        return number if hollow_pack(number) == parsed[1] else None
