"""How fast a full backup is, against the floor of copying, compressing and sealing alone.

Run: python -m tests.bench.repository.throughput [MiB] [directory] [file with sample data, 16 MiB or more]
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.mover.repository import BackupOptions, DirectoryStore, DiskRequest, Extent, MemoryStore, Store
from tests.unit.repository.world import BLOCK, MIB, description, new_repository, noise

WORKERS = 2
ROUNDS = 3


class Buffer:
    """A disk in memory that repeats a few megabytes, each made different by its offset."""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = memoryview(pattern)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        at = offset % (len(self._pattern) - len(buffer) + 1)
        buffer[:] = self._pattern[at : at + len(buffer)]
        buffer[:8] = offset.to_bytes(8, "little")


def two_to_one(size: int) -> bytes:
    """Data that zstd halves: phrases of a small dictionary between runs of noise."""
    phrases = [noise(40, seed) for seed in range(256)]
    picks = noise(size, 1)
    out = bytearray()
    at = 0
    while len(out) < size:
        out += phrases[picks[at]]
        out += picks[at + 1 : at + 29]
        at += 29
    return bytes(out[:size])


def floor(source: Buffer, megabytes: int) -> float:
    """Seconds for memcpy, zstd -1 and AES-GCM of everything in WORKERS threads."""
    offsets = iter(range(0, megabytes * MIB, MIB))
    lock = threading.Lock()

    def work() -> None:
        compressor, cipher = zstandard.ZstdCompressor(level=1), AESGCM(bytes(32))
        buffer = bytearray(MIB)
        while True:
            with lock:
                offset = next(offsets, None)
            if offset is None:
                return
            source.read_into(offset, memoryview(buffer))
            cipher.encrypt(offset.to_bytes(12, "little"), compressor.compress(buffer), b"")

    return _timed(lambda: _in_threads(work))


def backup(source: Buffer, megabytes: int, store: Store, *, check: bool) -> float:
    """Seconds from begin to commit."""
    with (
        tempfile.TemporaryDirectory() as cache,
        new_repository(store, Path(cache), pack_bytes=32 * MIB) as repo,
    ):

        def run() -> None:
            options = BackupOptions(workers=WORKERS, check=check)
            with repo.begin_backup("p", options=options) as session:
                session.disk(DiskRequest("d", megabytes * MIB), source)
                session.commit(description())

        return _timed(run)


def restore(source: Buffer, megabytes: int, store: Store) -> float:
    """Seconds to read everything back, decoded and checked, onto nothing."""

    class Nothing:
        def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
            pass

    with (
        tempfile.TemporaryDirectory() as cache,
        new_repository(store, Path(cache), pack_bytes=32 * MIB) as repo,
    ):
        with repo.begin_backup("p", options=BackupOptions(workers=WORKERS)) as session:
            session.disk(DiskRequest("d", megabytes * MIB), source)
            session.commit(description())

        def run() -> None:
            repo.restore_disk("p", "d", Nothing())

        return _timed(run)


def incremental(source: Buffer, megabytes: int, store: Store) -> float:
    """Seconds to back up one changed 64 KiB block in each MiB, times 16: as if everything had changed so."""
    changed = tuple(Extent(at * MIB + at % 16 * BLOCK, BLOCK) for at in range(megabytes))
    with (
        tempfile.TemporaryDirectory() as cache,
        new_repository(store, Path(cache), pack_bytes=32 * MIB) as repo,
    ):
        with repo.begin_backup("p", options=BackupOptions(workers=WORKERS)) as session:
            session.disk(DiskRequest("d", megabytes * MIB, extents=()), source)
            session.commit(description())

        def run() -> None:
            with repo.begin_backup("q", "p", options=BackupOptions(workers=WORKERS)) as session:
                session.disk(DiskRequest("d", megabytes * MIB, changed, base_disk="d"), source)
                session.commit(description())

        return _timed(run) * 16


def stream(source: Buffer, megabytes: int, store: Store) -> float:
    """Seconds to cut and store as much as a stream."""

    def parts() -> Iterator[bytes]:
        buffer = bytearray(MIB)
        for at in range(megabytes):
            source.read_into(at * MIB, memoryview(buffer))
            yield bytes(buffer)

    with (
        tempfile.TemporaryDirectory() as cache,
        new_repository(store, Path(cache), pack_bytes=32 * MIB) as repo,
    ):

        def run() -> None:
            with repo.begin_backup("p", options=BackupOptions(workers=WORKERS)) as session:
                session.stream("s", parts(), "file")
                session.commit(description())

        return _timed(run)


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _in_threads(work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    source = Buffer(Path(sys.argv[3]).read_bytes() if len(sys.argv) > 3 else two_to_one(16 * MIB))

    def into_memory(check: bool) -> float:
        return backup(source, megabytes, MemoryStore(), check=check)

    def into_directory(check: bool) -> float:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            return backup(source, megabytes, DirectoryStore(Path(place)), check=check)

    trials: dict[str, Callable[[], float]] = {
        f"floor: memcpy, zstd-1, AES-GCM in {WORKERS} threads": lambda: floor(source, megabytes),
        "memory, unchecked": lambda: into_memory(False),
        "memory, checked": lambda: into_memory(True),
        "directory, unchecked": lambda: into_directory(False),
        "directory, checked": lambda: into_directory(True),
    }
    trials["restore from memory"] = lambda: restore(source, megabytes, MemoryStore())
    trials["incremental, one block in each MiB"] = lambda: incremental(source, megabytes, MemoryStore())
    trials["stream, cut by content"] = lambda: stream(source, megabytes, MemoryStore())
    wall: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, trial in trials.items():
            before = time.process_time()
            wall[name] = min(wall.get(name, 1e9), trial())
            cpu[name] = min(cpu.get(name, 1e9), time.process_time() - before)
    floor_wall, floor_cpu = next(iter(wall.values())), next(iter(cpu.values()))
    for name in trials:
        print(
            f"{name:45} {megabytes / wall[name]:6.0f} MiB/s, {floor_wall / wall[name]:.2f} of the floor; "
            f"{cpu[name] / megabytes * 1e3:.2f} ms CPU per MiB (whole trial), {floor_cpu / cpu[name]:.2f}"
        )


if __name__ == "__main__":
    main()
