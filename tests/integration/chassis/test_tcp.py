"""A peer that is slow is told from one that is silent."""

import asyncio
import socket
import sys
from collections.abc import Iterator

import pytest

from services.chassis.tcp import WAITING_IS_NO_SILENCE, dying_of_silence, is_silent, set_options
from services.simulator.pool.silence import Silence
from tests.support.silence import needs_silence
from tests.support.waiting import PATIENCE_S, until_true

pytestmark = needs_silence

HOST = "127.77.0.1"
_BACKOFF = 4
"""In ``struct tcp_info``: how often what was sent, or asked, was put off again."""
_HEARD = 140
"""There too: how many segments came, in four bytes (tcpi_segs_in)."""


@pytest.fixture
def talk() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end, and the host's."""
    with (
        socket.create_server((HOST, 0)) as listener,
        socket.create_connection(listener.getsockname(), PATIENCE_S) as ours,
        listener.accept()[0] as theirs,
    ):
        yield ours, theirs


def fill(ours: socket.socket) -> None:
    """Sends until nobody takes more."""
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(1 << 20))
    except BlockingIOError:
        ours.setblocking(True)


def put_off(ours: socket.socket) -> int:
    return ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BACKOFF + 1)[_BACKOFF]


def heard(ours: socket.socket) -> int:
    told = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _HEARD + 4)
    return int.from_bytes(told[_HEARD:], sys.byteorder)


async def test_a_peer_that_takes_nothing_for_long_is_slow_and_not_silent(
    talk: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = talk
    set_options(ours, (*dying_of_silence(1), WAITING_IS_NO_SILENCE))
    fill(ours)
    await until_true(lambda: put_off(ours) >= 4)
    assert not is_silent(ours, 0)


async def test_a_peer_from_which_nothing_comes_back_is_silent(
    talk: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = talk
    silence = Silence(HOST)
    await silence.fall()
    ours.send(b"anybody there?")
    await until_true(lambda: is_silent(ours, 1))
    silence.end()
    await until_true(lambda: not is_silent(ours, 0))


async def test_an_idle_connection_dies_of_silence(talk: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = talk
    set_options(ours, dying_of_silence(1))
    silence = Silence(HOST)
    await silence.fall()
    with pytest.raises(TimeoutError) as died:
        await asyncio.to_thread(ours.recv, 1)
    assert "[Errno 110]" in str(died.value)
    silence.end()


async def test_an_answer_may_take_as_long_as_it_likes(talk: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = talk
    set_options(ours, dying_of_silence(1))
    ours.send(b"a question")
    waiting = asyncio.create_task(asyncio.to_thread(ours.recv, 10))
    before = heard(ours)
    await until_true(lambda: heard(ours) >= before + 3)  # the kernel asked, and was answered
    assert not waiting.done()
    theirs.send(b"an answer")
    assert b"an answer" == await waiting
