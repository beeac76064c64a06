"""The work nobody can leave out, on all cores and nothing else.

Run: python -m tests.bench.floor_work backup|restore <image> [<target>]; prints a JSON object.
``backup`` copies the image out of the page cache, compresses it (zstd -1) and seals it (AES-256-GCM), in
pieces of 1 MiB. ``restore`` opens, decompresses and writes as many bytes to the target, past the page cache
where that is possible, in memory that is used again; to spare memory it does so again and again with sealed
pieces from all over the image, so the target is not the image.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.mover.repository.format.crypto import TAG_BYTES
from services.mover.repository.format.zstd import ZSTD, decompress_into
from services.mover.repository.scratch import scratch
from services.mover.repository.stores.past_cache import open_past_cache, pwrite_past_cache

PIECE = 1 << 20
SAMPLES = 64
Tools = tuple[zstandard.ZstdCompressor, AESGCM]


def seal(tools: Tools, descriptor: int, offset: int, buffer: bytearray) -> bytes:
    count = os.preadv(descriptor, [buffer], offset)
    compressed = tools[0].compress(memoryview(buffer)[:count])
    return tools[1].encrypt(offset.to_bytes(12, "little"), compressed, b"")


def tools() -> Tools:
    return zstandard.ZstdCompressor(level=1), AESGCM(bytes(32))


def backup(image: int, size: int) -> float:
    def each(tools: Tools, offset: int, buffer: bytearray) -> None:
        seal(tools, image, offset, buffer)

    return _on_all_cores(size, each)


def restore(image: int, size: int, target: int) -> float:
    step = max(PIECE, size // SAMPLES // PIECE * PIECE)
    offsets = range(0, size, step)
    sealed = [(offset, seal(tools(), image, offset, bytearray(PIECE))) for offset in offsets]

    def each(tools: Tools, offset: int, buffer: bytearray) -> None:
        nonce, data = sealed[offset // PIECE % len(sealed)]
        packed = memoryview(buffer)[: len(data) - TAG_BYTES]
        tools[1].decrypt_into(nonce.to_bytes(12, "little"), data, b"", packed)
        plain = decompress_into(ZSTD, packed, PIECE, lambda length: scratch("floor", length), "a piece")
        left = pwrite_past_cache(target, memoryview(plain), offset)
        os.pwrite(target, left, offset + PIECE - len(left))

    return _on_all_cores(size, each)


def _on_all_cores(size: int, each: Callable[[Tools, int, bytearray], None]) -> float:
    """Elapsed seconds."""
    offsets = iter(range(0, size, PIECE))
    lock = threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        own, buffer = tools(), bytearray(PIECE)
        try:
            while True:
                with lock:
                    offset = next(offsets, None)
                if offset is None:
                    return
                each(own, offset, buffer)
        except BaseException as error:  # noqa: BLE001 - raised by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(os.cpu_count() or 1)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        raise failures[0]
    return seconds


def main() -> None:
    image = os.open(sys.argv[2], os.O_RDONLY)
    size = os.fstat(image).st_size
    if sys.argv[1] == "backup":
        seconds = backup(image, size)
    else:
        buffered = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        past_cache = open_past_cache(Path(sys.argv[3]))
        seconds = restore(image, size, buffered if past_cache is None else past_cache)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
