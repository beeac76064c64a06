"""A long line between two network namespaces, packet by packet: rate, delay, losses, a buffer that overflows.

Two TUN devices are the ends. A packet that enters one leaves the other when the line before it is free, its
own bits are through, and the delay is over. Needs root.
"""

import errno
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_MTU: Final = 1500
_BURST: Final = 128
"""Packets taken from an end before the other one is looked at."""


@dataclass(frozen=True, slots=True)
class Line:
    """Each direction has the rate to itself. What would wait longer than ``buffer_s`` is dropped."""

    bits_per_second: float
    delay_s: float
    loss: float = 0.0
    buffer_s: float = 0.2


@dataclass(frozen=True, slots=True)
class End:
    """A namespace and its address on the line."""

    namespace: str
    address: str

    def command(self, *arguments: str) -> list[str]:
        """``arguments`` run there."""
        return ["ip", "netns", "exec", self.namespace, *arguments]


@contextmanager
def strung(line: Line, name: str) -> Iterator[tuple[End, End]]:
    """The two ends of a line, carried by a process of its own; all is gone afterwards."""
    ends = (End(f"{name}-a", "10.98.0.1"), End(f"{name}-b", "10.98.0.2"))
    made: list[str] = []
    try:
        for end in ends:
            _ip("netns", "add", end.namespace)
            made.append(end.namespace)
        numbers = (line.bits_per_second, line.delay_s, line.loss, line.buffer_s)
        command = [sys.executable, "-m", "tests.bench.wan.line", name, *map(str, numbers)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as carrier:
            try:
                assert carrier.stdout is not None
                assert carrier.stdout.readline() == b"up\n", "the line did not come up"
                yield ends
            finally:
                carrier.kill()
    finally:
        for namespace in made:
            _ip("netns", "delete", namespace)


def carry(line: Line, ends: tuple[int, int]) -> None:
    """For ever."""
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    free_at = dict.fromkeys(ends, 0.0)
    under_way: list[tuple[float, int, int, bytes]] = []
    chance, count = random.Random(1), 0
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(ends, (), (), wait)[0]:
            for packet in _packets(end):
                now = time.monotonic()
                starts = max(now, free_at[end])
                if starts - now > line.buffer_s or chance.random() < line.loss:
                    continue
                free_at[end] = starts + 8 * len(packet) / line.bits_per_second
                count += 1
                heapq.heappush(under_way, (free_at[end] + line.delay_s, count, other[end], packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(under_way)
            with suppress(BlockingIOError):  # whoever does not take it loses it, as on any line
                os.write(end, packet)


def _packets(end: int) -> Iterator[bytes]:
    for _ in range(_BURST):
        try:
            yield os.read(end, 2 * _MTU)
        except BlockingIOError:
            return


def _open_end(device: str, end: End) -> int:
    """The device's file; it stays the device's when that moves to another namespace (Linux tun_chr_open)."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN_NO_PI))
    _ip("link", "set", device, "netns", end.namespace)
    inside = ("-n", end.namespace)
    _ip(*inside, "address", "add", f"{end.address}/24", "dev", device)
    _ip(*inside, "link", "set", device, "mtu", str(_MTU), "txqueuelen", "1000", "up")
    _ip(*inside, "link", "set", "lo", "up")
    return file


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _main() -> None:
    name, *numbers = sys.argv[1:]
    line = Line(*map(float, numbers))
    with suppress(OSError):
        os.nice(-15)  # whatever else runs, a line does not get slower
    first = _open_end("wan0", End(f"{name}-a", "10.98.0.1"))
    second = _open_end("wan1", End(f"{name}-b", "10.98.0.2"))
    print("up", flush=True)
    try:
        carry(line, (first, second))
    except OSError as error:
        if error.errno != errno.EBADFD:  # the namespaces are gone
            raise


if __name__ == "__main__":
    _main()
