"""Makes the golden repository. Run once for each format version; what it made is never changed.

Run: python -m tests.contract.repository.make_golden <empty directory>
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from services.chassis.clock import FakeClock
from services.mover.repository import (
    Argon2Cost,
    BackupOptions,
    DirectoryStore,
    DiskRequest,
    Extent,
    PointDescription,
    create_repository,
)

PASSPHRASE = "golden passphrase"
RECOVERY_KEY_FILE = "recovery-key.txt"
KIB = 1 << 10
CHUNK = 256 * KIB
BLOCK = 64 * KIB
SIZE = 5 * CHUNK + 512


class CountedBytes:
    """Randomness that is the same each time: SHA-256 of a counter. For the golden repository alone.

    The mark of a lease, 8 bytes, is younger than the golden repository, where no lease is left: not counted.
    """

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, length: int) -> bytes:
        self._calls += length != 8
        return hashlib.shake_256(f"golden {self._calls}".encode()).digest(length)


class Bytes:
    """A disk."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self._content[offset : offset + len(buffer)]


def _text(length: int, what: str) -> bytes:
    line = f"{what}: the quick brown fox jumps over the lazy dog\n".encode()
    return (line * (length // len(line) + 1))[:length]


def contents() -> dict[str, bytes]:
    """Disk contents by point: holes, a patch with data and zeros, a fold, a partial last chunk."""
    first = (
        _text(CHUNK, "first") + bytes(CHUNK) + _text(2 * CHUNK, "second") + bytes(CHUNK) + _text(512, "tail")
    )
    second = bytearray(first)
    second[BLOCK : 2 * BLOCK] = _text(BLOCK, "patched")
    second[2 * CHUNK + BLOCK : 2 * CHUNK + 2 * BLOCK] = bytes(BLOCK)
    second[3 * CHUNK : 3 * CHUNK + 2 * BLOCK] = _text(2 * BLOCK, "folded")
    second[4 * CHUNK : 4 * CHUNK + BLOCK] = _text(BLOCK, "patch on a hole")
    return {"golden-1": first, "golden-2": bytes(second)}


def changes() -> tuple[Extent, ...]:
    return (
        Extent(BLOCK, BLOCK),
        Extent(2 * CHUNK + BLOCK, BLOCK),
        Extent(3 * CHUNK, 2 * BLOCK),
        Extent(4 * CHUNK, BLOCK),
    )


def _description(point: str) -> PointDescription:
    return PointDescription(
        asset={"id": "6f4c1a52-0000-4000-8000-000000000001", "name": "Grüße"},
        method="normal",
        consistency="crash",
        snapshot_time="2026-01-01T00:00:00Z",
        commit_time="2026-01-01T00:01:00Z",
        document={"point": point},
    )


def make(folder: Path) -> None:
    options = BackupOptions(readers=1, workers=1, uploads=1)
    with tempfile.TemporaryDirectory() as cache:
        repository, recovery_key = create_repository(
            DirectoryStore(folder, create=True),
            PASSPHRASE,
            Path(cache),
            chunk_bytes=CHUNK,
            pack_bytes=CHUNK,
            cost=Argon2Cost(time=1, memory_kib=64, lanes=1),
            time=FakeClock(),
            entropy=CountedBytes(),
        )
        with repository:
            for point, content in contents().items():
                base = None if point == "golden-1" else "golden-1"
                with repository.begin_backup(point, base, options=options) as session:
                    extents = changes() if base else None
                    session.disk(DiskRequest("disk", SIZE, extents, base and "disk", "Daten"), Bytes(content))
                    session.stream("vm-configuration", [f"<vm point='{point}'/>".encode()])
                    session.commit(_description(point))
    print(recovery_key)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
