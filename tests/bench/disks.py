"""The disks that are backed up: seeded, so that every run on every machine reads the same bytes."""

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.mover.repository import Extent
from tests.bench.process import run

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
BLOCK = 64 * KIB
_PHRASE, _NOISE = 36, 28
_SEED = 20260101


def dense(path: Path, size: int) -> None:
    """``size`` bytes, a multiple of 1 MiB, that zstd -1 halves, no two chunks of them alike."""
    with path.open("wb") as file:
        for at in range(0, size, MIB):
            file.write(half_noise(MIB, at))


def sparse_file_system(path: Path, size: int, tree: Path) -> None:
    """An ext4 file system with a copy of ``tree`` in it; what it does not use is a hole."""
    with path.open("wb") as file:
        file.truncate(size)
    run(["mkfs.ext4", "-q", "-F", "-d", str(tree), str(path)])


def huge(path: Path, size: int, data_bytes: int) -> None:
    """``size`` bytes, nearly all a hole, with ``data_bytes`` of data spread over them in pieces of 1 MiB."""
    pieces = data_bytes // MIB
    with path.open("wb") as file:
        file.truncate(size)
        for piece in range(pieces):
            file.seek(size // pieces // MIB * MIB * piece)
            file.write(half_noise(MIB, piece))


def change(path: Path, share: float, seed: int) -> tuple[Extent, ...]:
    """Overwrite ``share`` of the disk, in scattered aligned blocks of 64 KiB; where they are, ascending."""
    blocks = path.stat().st_size // BLOCK
    chosen = sorted(random.Random(seed).sample(range(blocks), max(1, round(blocks * share))))
    with path.open("r+b") as file:
        for block in chosen:
            file.seek(block * BLOCK)
            file.write(half_noise(BLOCK, (seed + 1) << 50 | block))
    settle(path)
    return tuple(Extent(block * BLOCK, BLOCK) for block in chosen)


def settle(path: Path) -> None:
    """Return when all of the file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def evict(path: Path) -> None:
    """Nothing of the file is in the page cache when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def data_extents(path: Path) -> tuple[Extent, ...]:
    """What is not a hole, as a host knows it of its disks (lseek(2): SEEK_DATA, SEEK_HOLE)."""
    return tuple(_data_extents(path))


def sha256(path: Path) -> str:
    """Reads all of it, hence it is in the page cache afterwards, if that has room."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def half_noise(size: int, seed: int) -> bytes:
    """Phrases of a small dictionary between runs of noise; different for every ``seed`` of up to 96 bits."""
    pieces = size // (_PHRASE + _NOISE)
    noise = _noise(pieces * (_NOISE + 1), seed)
    out = bytearray()
    for piece, at in enumerate(range(pieces, len(noise), _NOISE)):
        out += _PHRASES[noise[piece]]
        out += noise[at : at + _NOISE]
    return bytes(out)


def _noise(size: int, seed: int) -> bytes:
    """AES-CTR's key stream: as good as random, and quick."""
    counter = seed.to_bytes(12, "big") + bytes(4)
    stream = Cipher(algorithms.AES(_SEED.to_bytes(16, "big")), modes.CTR(counter)).encryptor()
    return stream.update(bytes(size))


def _data_extents(path: Path) -> Iterator[Extent]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        hole = 0
        while hole < size:
            try:
                start = os.lseek(descriptor, hole, os.SEEK_DATA)
            except OSError:  # ENXIO: no data from here to the end
                return
            hole = os.lseek(descriptor, start, os.SEEK_HOLE)
            yield Extent(start, hole - start)
    finally:
        os.close(descriptor)


_PHRASES = tuple(_noise(_PHRASE, (1 << 95) + number) for number in range(256))
