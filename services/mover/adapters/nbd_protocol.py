"""The NBD wire format, as far as reading a disk needs it: fixed newstyle handshake, simple replies.

Pure functions; every number is big-endian. Source: the NBD project's doc/proto.md. xapi's server speaks a
subset (xapi: ocaml/xapi-nbd; nbd: lib/server.ml): STARTTLS, EXPORT_NAME with its 124 zero bytes, READ, DISC.
"""

import struct
from typing import NamedTuple

BANNER_BYTES = 18
OPTION_REPLY_BYTES = 20
REPLY_BYTES = 16
SECTOR_BYTES = 512

OPT_EXPORT_NAME = 1
OPT_STARTTLS = 5
REP_ACK = 1
CMD_READ = 0
CMD_DISC = 2

_FIXED_NEWSTYLE = 1
_NO_ZEROES = 2
_HAS_FLAGS = 1
_MAGIC = b"NBDMAGIC"
_OPTION_MAGIC = b"IHAVEOPT"
_OPTION_REPLY_MAGIC = 0x0003E889045565A9
_REQUEST_MAGIC = 0x25609513
_REPLY_MAGIC = 0x67446698
_LARGEST_EXPORT = 2**63 - 1

_option_head = struct.Struct(">8sII")
_option_reply = struct.Struct(">QIII")
_export = struct.Struct(">QH")
_request = struct.Struct(">IHHQQI")
_reply = struct.Struct(">IIQ")

_REFUSALS = {
    0x80000001: "it does not know TLS",
    0x80000002: "its policy forbids TLS",
    0x80000003: "it calls the request invalid",
    0x80000004: "its platform lacks TLS",
    0x80000007: "it is shutting down",
}
_ERRNO_NAMES = {
    1: "EPERM",
    5: "EIO",
    12: "ENOMEM",
    22: "EINVAL",
    28: "ENOSPC",
    75: "EOVERFLOW",
    108: "ESHUTDOWN",
}


class Malformed(ValueError):
    """The peer sent what no NBD server sends."""


class Export(NamedTuple):
    """What the server says about a disk."""

    size_bytes: int
    flags: int


class Reply(NamedTuple):
    """The head of an answer to a request; a READ's data follows when ``error`` is 0."""

    error: int
    handle: int


def parse_banner(banner: bytes) -> int:
    """The handshake flags."""
    if banner[:8] != _MAGIC:
        raise Malformed("it does not greet like an NBD server")
    if banner[8:16] != _OPTION_MAGIC:
        raise Malformed("it speaks the old NBD dialect without options")
    flags = int.from_bytes(banner[16:18], "big")
    if not flags & _FIXED_NEWSTYLE:
        raise Malformed("it does not speak fixed newstyle NBD")
    return flags


def client_flags(handshake_flags: int) -> bytes:
    """The answer to the banner: fixed newstyle, and no zeroes where the server offers that."""
    return struct.pack(">I", handshake_flags & (_FIXED_NEWSTYLE | _NO_ZEROES))


def export_bytes(handshake_flags: int) -> int:
    """The length of the answer to EXPORT_NAME: with 124 zero bytes unless the server offered to leave them
    out.
    """
    return _export.size + (0 if handshake_flags & _NO_ZEROES else 124)


def option(code: int, payload: bytes = b"") -> bytes:
    """An option request."""
    return _option_head.pack(_OPTION_MAGIC, code, len(payload)) + payload


def parse_option_reply(reply: bytes, expected: int) -> int:
    """The kind of reply to the ``expected`` option; an acknowledgement carries nothing."""
    magic, code, kind, length = _option_reply.unpack(reply)
    if magic != _OPTION_REPLY_MAGIC:
        raise Malformed("its answer to an option has a wrong magic number")
    if code != expected:
        raise Malformed(f"it answers option {code} when asked for option {expected}")
    if kind == REP_ACK and length:
        raise Malformed("its acknowledgement carries data")
    return int(kind)


def refusal(kind: int) -> str:
    """Why an option was refused, in words."""
    return _REFUSALS.get(kind, f"it answers 0x{kind:08x}")


def parse_export(answer: bytes) -> Export:
    """The answer to EXPORT_NAME."""
    size, flags = _export.unpack_from(answer)
    if any(answer[_export.size :]):
        raise Malformed("the reserved bytes of its answer are not zero")
    if not flags & _HAS_FLAGS:
        raise Malformed("its transmission flags are not marked as such")
    if size > _LARGEST_EXPORT:
        raise Malformed(f"it announces a disk of {size} bytes")
    return Export(size, flags)


def request(command: int, handle: int = 0, offset: int = 0, length: int = 0) -> bytes:
    """A request of the transmission phase."""
    return _request.pack(_REQUEST_MAGIC, 0, command, handle, offset, length)


def parse_reply(head: bytes | bytearray) -> Reply:
    """The head of a simple reply."""
    magic, error, handle = _reply.unpack(head)
    if magic != _REPLY_MAGIC:
        raise Malformed("its reply has a wrong magic number")
    return Reply(error, handle)


def errno_name(error: int) -> str:
    """An NBD error number in words."""
    return _ERRNO_NAMES.get(error, f"error {error}")
