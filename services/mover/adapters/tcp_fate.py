"""What became of the bytes sent on a TCP connection that the peer has ended. Linux only (tcp(7))."""

import fcntl
import socket
import struct
import termios

_TCP_CLOSE = 7


def all_was_taken(ended: socket.socket) -> bool:
    """Whether the peer acknowledged every byte, and ended the connection without a reset.

    A peer that closes with bytes unread sends a reset (RFC 1122, 4.2.2.13); bytes that reach it later are not
    acknowledged.
    """
    state = ended.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    unacknowledged = struct.unpack("i", fcntl.ioctl(ended.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return state != _TCP_CLOSE and unacknowledged == 0
