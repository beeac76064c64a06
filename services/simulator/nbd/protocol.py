"""Numbers and frames of the NBD protocol (NetworkBlockDevice/nbd, doc/proto.md)."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from services.simulator.nbd.stream import Stream

BANNER = b"NBDMAGIC" + b"IHAVEOPT"
OPTION_MAGIC = 0x49484156454F5054  # IHAVEOPT
OPTION_REPLY_MAGIC = 0x0003E889045565A9
REQUEST_MAGIC = 0x25609513
REPLY_MAGIC = 0x67446698

FIXED_NEWSTYLE = 1
NO_ZEROES = 2
MAX_OPTION = 8192  # bytes of one option's data; the protocol asks for names of 4096 to be taken

_OPTION = struct.Struct(">QII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_EXPORT = struct.Struct(">QH")

REPLY_SIZE = _REPLY.size


class Option(enum.IntEnum):
    """What a client may ask for before it reads."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7


class OptionReply(enum.IntEnum):
    """Answers to options."""

    ACK = 1
    SERVER = 2
    INFO = 3
    ERR_UNSUP = 0x80000001
    ERR_POLICY = 0x80000002
    ERR_INVALID = 0x80000003
    ERR_TLS_REQD = 0x80000005
    ERR_UNKNOWN = 0x80000006


class Command(enum.IntEnum):
    """What a client may do with an export."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    WRITE_ZEROES = 6


class Error(enum.IntEnum):
    """Answers to commands."""

    NONE = 0
    EPERM = 1
    EIO = 5
    EINVAL = 22
    ENOSPC = 28


class ProtocolError(Exception):
    """The client does not speak the protocol; the connection ends. Says what was wrong."""


@dataclass(frozen=True)
class OptionRequest:
    """One option as it came."""

    number: int
    data: bytes


@dataclass(frozen=True)
class Request:
    """One command as it came, without the data of a write; offset and length in bytes."""

    flags: int
    command: int
    handle: int
    offset: int
    length: int


async def read_flags(stream: Stream) -> int:
    """The client's answer to the banner. IncompleteReadError at the end of the connection."""
    return int.from_bytes(await stream.receive(4), "big")


async def read_option(stream: Stream) -> OptionRequest:
    """The next option. ProtocolError, IncompleteReadError."""
    magic, number, length = _OPTION.unpack(await stream.receive(_OPTION.size))
    if magic != OPTION_MAGIC:
        raise ProtocolError(f"an option starts with {magic:#x} in place of IHAVEOPT")
    if length > MAX_OPTION:
        raise ProtocolError(f"option {number} has {length} bytes of data, more than {MAX_OPTION}")
    return OptionRequest(number, await stream.receive(length))


def option_reply(option: int, kind: OptionReply, data: bytes = b"") -> bytes:
    """An answer to an option."""
    return _OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, kind, len(data)) + data


def export_reply(size: int, flags: int, zeroes: bool) -> bytes:
    """The answer to EXPORT_NAME, after which commands follow."""
    return _EXPORT.pack(size, flags) + bytes(124 if zeroes else 0)


async def read_request(stream: Stream) -> Request:
    """The next command. ProtocolError, IncompleteReadError."""
    magic, flags, command, handle, offset, length = _REQUEST.unpack(await stream.receive(_REQUEST.size))
    if magic != REQUEST_MAGIC:
        raise ProtocolError(f"a request starts with {magic:#x}")
    return Request(flags, command, handle, offset, length)


def reply(handle: int, error: Error = Error.NONE) -> bytes:
    """The head of a simple reply."""
    return _REPLY.pack(REPLY_MAGIC, error, handle)
