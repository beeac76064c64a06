"""The work nobody can leave out, on all cores and nothing else.

Run: python -m tests.bench.floor_work backup|restore <image> [<target>]; prints a JSON object.
``backup`` copies the image out of the page cache, compresses it (zstd -1) and seals it (AES-256-GCM), in
pieces of 1 MiB. ``restore`` opens, decompresses and writes as many bytes to the target; to spare memory it
does so again and again with sealed pieces from all over the image, so the target is not the image.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PIECE = 1 << 20
SAMPLES = 64
Tools = tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor, AESGCM]


def seal(tools: Tools, descriptor: int, offset: int, buffer: bytearray) -> bytes:
    count = os.preadv(descriptor, [buffer], offset)
    compressed = tools[0].compress(memoryview(buffer)[:count])
    return tools[2].encrypt(offset.to_bytes(12, "little"), compressed, b"")


def tools() -> Tools:
    return zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor(), AESGCM(bytes(32))


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
        os.pwrite(
            target, tools[1].decompress(tools[2].decrypt(nonce.to_bytes(12, "little"), data, b"")), offset
        )

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
        seconds = restore(image, size, os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
