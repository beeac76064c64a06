"""Whether this machine can make hosts fall silent."""

import asyncio
import socket
from functools import cache

import pytest

from services.simulator.pool.silence import Silence

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
