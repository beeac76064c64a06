"""How fast the mover reads: ``python -m tests.bench.measure_nbd [MiB]``.

Needs nbdkit and, for comparison, nbdcopy. Reads an image that is in the page cache over the loopback, so it
measures the client and the server's TLS together, on however many cores there are.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from services.mover.adapters.nbd_pool import NbdPool
from services.mover.adapters.nbd_supply import NbdPoolOptions
from services.mover.domain import BlockRead
from tests.integration.mover_io.nbdkit import Nbdkit

MIB = 1 << 20


def seconds_to_read(
    server: Nbdkit, size: int, connections: int, request: int, window: int
) -> tuple[float, float]:
    """Elapsed and processor seconds of this process."""
    options = NbdPoolOptions(
        connections=connections,
        connections_per_host=connections,
        window=window,
        plaintext_allowed=not server.tls,
    )
    pool = NbdPool(size, [server.endpoint], lambda: [server.endpoint], options)
    offsets = iter(range(0, size, request))

    def work() -> None:
        buffers = [memoryview(bytearray(request)) for _ in range(window + 1)]
        reads = (BlockRead(offset, buffers[turn % len(buffers)]) for turn, offset in enumerate(offsets))
        for _ in pool.read_many(reads):
            pass

    started, processor = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(connections) as threads:
        list(threads.map(lambda _: work(), range(connections)))
    elapsed = time.perf_counter() - started
    pool.close()
    return elapsed, time.process_time() - processor


def seconds_of_nbdcopy(server: Nbdkit, connections: int) -> float:
    """The same with libnbd's copier, in C, without pinning."""
    endpoint = server.endpoint
    scheme = "nbds" if server.tls else "nbd"
    directory = server.image.parent / f"tls-{server.host_id}"
    uri = f"{scheme}://localhost:{endpoint.port}/?tls-certificates={directory}"
    started = time.perf_counter()
    command = ["nbdcopy", f"--connections={connections}", f"--threads={connections}", uri, "null:"]
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def main() -> None:
    size = int(sys.argv[1] if len(sys.argv) > 1 else 1024) * MIB
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "disk.img"
        with image.open("wb") as file:
            for _ in range(size // (4 * MIB)):
                file.write(bytes(range(256)) * (4 * MIB // 256))
        for tls, connections in product((False, True), (1, 2, 4)):
            name = f"{'TLS' if tls else 'plain':5} {connections} connections"
            for request, window in product((64 << 10, MIB, 4 * MIB), (1, 4)):
                with Nbdkit(image, tls=tls) as server:
                    elapsed, processor = seconds_to_read(server, size, connections, request, window)
                how = f"{request >> 10:5} KiB, {window} in flight"
                cost = f"{processor / size * (1 << 30):.2f} s/GiB"
                print(f"{name}, {how}: {size / MIB / elapsed:6.0f} MiB/s, {cost}", flush=True)
            with Nbdkit(image, tls=tls) as server:
                elapsed = seconds_of_nbdcopy(server, connections)
            print(f"{name}, nbdcopy: {size / MIB / elapsed:6.0f} MiB/s", flush=True)


if __name__ == "__main__":
    main()
