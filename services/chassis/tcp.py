"""Noticing that the peer of a TCP connection has fallen silent: power cut, split network. Linux (tcp(7)).

Its kernel acknowledges nothing any more. One that is merely slow to answer does acknowledge, however long it
takes: so the bound may be short where that for an answer has to be long.
"""

import errno
import socket
import struct

SocketOption = tuple[int, int, int]
"""Level, name, value."""

_PROBES_UNANSWERED = 3
_TCP_CLOSE = 7
_NEARLY_MS = 900
"""The kernel's clocks tick in steps."""
_INFO = struct.Struct("=BxBB52xI")
"""Of ``struct tcp_info``: tcpi_state, tcpi_retransmits, tcpi_probes, tcpi_last_ack_recv (milliseconds)."""


WAITING_IS_NO_SILENCE: SocketOption = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
"""Undoes a part of ``dying_of_silence`` where the peer may take no more for long. An idle connection still
ends; while something waits to be sent, ``is_silent`` has to be asked."""


def dying_of_silence(seconds: int) -> tuple[SocketOption, ...]:
    """The connection ends with ``ETIMEDOUT`` when nothing was acknowledged for about ``seconds``, whether we
    send or wait (RFC 5482; RFC 9293, 3.8.4); also when the peer took no more for so long."""
    pause = max(1, seconds // 3)
    return (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, pause),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, pause),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000),
    )


def set_options(connected: socket.socket, options: tuple[SocketOption, ...]) -> None:
    """Each of them."""
    for option in options:
        connected.setsockopt(*option)


def is_silent(connected: socket.socket, seconds: float) -> bool:
    """Whether nothing was heard for ``seconds`` although the peer was asked again and again, or the
    connection ended by that. Ask before it is closed; Python's TLS takes ``ETIMEDOUT`` for an ordinary end.

    A peer whose window is closed answers each question whether it is open again (RFC 9293, 3.8.6.1): it is
    slow, not silent, although its answers are up to two minutes apart.
    """
    try:
        told = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    except OSError:  # somebody has closed it
        return False
    state, retransmits, probes, last_ack_ms = _INFO.unpack(told)
    in_vain = state == _TCP_CLOSE or retransmits + probes >= _PROBES_UNANSWERED
    return bool(in_vain and last_ack_ms >= seconds * _NEARLY_MS)


def died_of_silence(error: OSError) -> bool:
    """Whether the kernel gave the connection up because nothing came back; a timeout of ours is none."""
    return error.errno == errno.ETIMEDOUT
