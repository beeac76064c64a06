"""Hosts that fall silent: whether this machine can make them, and what its kernel knows of them."""

import asyncio
import socket
from functools import cache
from pathlib import Path

import pytest

from services.simulator.pool.silence import Silence
from tests.support.waiting import until_true

_ADDRESS = "127.78.0.1"


@cache
def can_fall_silent() -> bool:
    """Tried on a connection of its own."""
    with (
        socket.create_server((_ADDRESS, 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0],
    ):
        silence = Silence(_ADDRESS)
        try:
            asyncio.run(silence.fall())
        except OSError:
            return False
        silence.end()
        return True


needs_silence = pytest.mark.skipif(
    not can_fall_silent(), reason="this kernel cannot drop a connection's packets (CONFIG_TCP_MD5SIG)"
)


async def asked_in_vain(address: str, times: int = 1) -> None:
    """Returns when somebody has sent the same to or from the address ``times`` more, unheard."""
    await until_true(lambda: _sent_again(address) >= times)


def _sent_again(address: str) -> int:
    """Of all connections the most; columns of proc_net_tcp.txt in the kernel's documentation."""
    place = socket.inet_aton(address)[::-1].hex().upper()
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return max((int(row[6], 16) for row in rows if place in row[1] + row[2]), default=0)
