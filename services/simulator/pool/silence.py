"""A host whose packets vanish, as when power or the network is cut: nobody is refused and nothing is reset.

It happens in the kernel, below TCP, so that not even an acknowledgement comes back. A connection gets a key
for signed segments (RFC 2385) that its peer does not have: each drops what the other one sends, and tries it
again when the key is gone. A listening socket gets a filter that drops everything (socket(7),
SO_ATTACH_FILTER). Both need Linux and no privileges.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import stat
import struct
from collections.abc import Collection, Iterator

_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_TCP_MD5SIG = 14
_KEY_BYTES, _ADDRESS_BYTES = 80, 128
_DROP_ALL = struct.pack("HBBI", 6, 0, 0, 0)
"""One instruction: BPF_RET of 0 bytes (linux/filter.h)."""
_ROUNDS_UNTIL_ACCEPTED = 3
"""Of the event loop, after which whoever had been let in by the kernel has been accepted."""


class Silence:
    """Of the sockets of this process at one ``address``."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._held: dict[int, socket.socket] = {}
        self.fallen = False

    async def fall(self, *, listeners_die: bool = False) -> None:
        """Nothing comes in and nothing goes out any more; again for sockets that are new since.

        What the servers close from now on stays open unheard, and with ``listeners_die`` the listening
        sockets too. Raises ``OSError`` where the kernel cannot do it; then nothing is silent.
        """
        self.fallen = True
        try:
            self._mute(listeners_die)
            for _ in range(_ROUNDS_UNTIL_ACCEPTED):
                await asyncio.sleep(0)
            self._mute(listeners_die)
        except OSError as error:
            self.end()
            told = "this kernel cannot drop a connection's packets (it needs CONFIG_TCP_MD5SIG)"
            raise OSError(error.errno, told) from error

    def end(self, *, reset: bool = False) -> None:
        """What was sent meanwhile arrives as soon as it is tried again; with ``reset`` connections end."""
        if not self.fallen:
            return
        for each in _sockets_at(self._address):
            with each:
                _unmute(each)
        for each in self._held.values():
            if reset and not _listens(each):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
        self._held.clear()
        self.fallen = False

    def _mute(self, listeners_die: bool) -> None:
        for each in _sockets_at(self._address):
            number = os.fstat(each.fileno()).st_ino
            if _listens(each):
                _drop_all(each)
                kept = listeners_die
            else:
                kept = _use_key(each, b"silence")
            if kept and number not in self._held:
                self._held[number] = each
            else:
                each.close()


def hang_up(address: str, ports: Collection[int]) -> None:
    """End connections to ``ports`` of the address that no server knows of: those whose TLS has just begun."""
    for each in _sockets_at(address):
        with each, contextlib.suppress(OSError):  # it has ended by itself
            if not _listens(each) and each.getsockname()[1] in ports:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)


def _sockets_at(address: str) -> Iterator[socket.socket]:
    """Duplicates of this process's TCP sockets with that local address."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # closed meanwhile
            continue
        if _is_at(found, address):
            yield found
        else:
            found.close()


def _is_at(found: socket.socket, address: str) -> bool:
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        return False
    return bool(found.getsockname()[0] == address)


def _listens(each: socket.socket) -> bool:
    return bool(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _drop_all(listener: socket.socket) -> None:
    program = ctypes.create_string_buffer(_DROP_ALL)
    value = struct.pack("HL", 1, ctypes.addressof(program))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, value)


def _unmute(each: socket.socket) -> None:
    if _listens(each):
        try:
            each.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
        except FileNotFoundError:  # it came after the silence fell, and has none
            return
    else:
        _use_key(each, b"")


def _use_key(connection: socket.socket, key: bytes) -> bool:
    """Whether there is still a connection; an empty key is none (linux/tcp.h, ``struct tcp_md5sig``)."""
    try:
        peer = connection.getpeername()
        head = struct.pack("=BBHi", 0, 0, len(key), 0)
        value = _sockaddr(connection.family, peer[0]) + head + key.ljust(_KEY_BYTES, b"\0")
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG, value)
    except OSError:  # for example, it had no key to take away
        if key and _is_connected(connection):
            raise
        return False
    return True


def _is_connected(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def _sockaddr(family: int, address: str) -> bytes:
    packed = socket.inet_pton(family, address)
    port_and_flow = bytes(2) if family == socket.AF_INET else bytes(6)
    return (struct.pack("=H", family) + port_and_flow + packed).ljust(_ADDRESS_BYTES, b"\0")
