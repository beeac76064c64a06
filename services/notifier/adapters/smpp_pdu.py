"""The few SMPP 3.4 protocol data units that sending a text message takes.

Source: "Short Message Peer to Peer Protocol Specification v3.4", sections 3.2 (header), 4.1.5
(bind_transceiver), 4.4.1 (submit_sm), 5.1.2 (command ids), 5.1.3 (status codes).
"""

import struct
from dataclasses import dataclass

GENERIC_NACK = 0x80000000
BIND_TRANSCEIVER = 0x00000009
SUBMIT_SM = 0x00000004
DELIVER_SM = 0x00000005
UNBIND = 0x00000006
ENQUIRE_LINK = 0x00000015
RESPONSE = 0x80000000

OK = 0x00
TEMPORARY_APPLICATION_ERROR = 0x64
STATUS = {
    0x01: "invalid message length",
    0x02: "invalid command length",
    0x03: "invalid command",
    0x04: "wrong bind state",
    0x05: "already bound",
    0x08: "system error",
    0x0A: "invalid source address",
    0x0B: "invalid destination address",
    0x0D: "bind failed",
    0x0E: "invalid password",
    0x0F: "invalid system id",
    0x14: "message queue full",
    0x15: "invalid service type",
    0x43: "invalid esm_class",
    0x44: "cannot submit to a distribution list",
    0x45: "submit failed",
    0x48: "invalid source numbering",
    0x50: "invalid destination numbering",
    0x53: "invalid system type",
    0x58: "throttled",
    0x61: "invalid schedule",
    0x62: "invalid validity period",
    0x64: "temporary application error",
    0x65: "permanent application error",
    0x66: "application rejects the message",
}
FOR_GOOD = frozenset({0x01, 0x0A, 0x0B, 0x0E, 0x0F, 0x15, 0x43, 0x44, 0x48, 0x50, 0x53, 0x65, 0x66})
"""Statuses that a repetition does not change."""

_HEADER = struct.Struct(">IIII")
HEADER_BYTES = _HEADER.size
LONGEST_BYTES = 4096
"""More than any unit we ask for; a peer that announces more is not speaking SMPP."""

DEFAULT_ALPHABET, UCS2 = 0x00, 0x08
UDH_INDICATOR = 0x40
INTERNATIONAL, ALPHANUMERIC, UNKNOWN = (1, 1), (5, 0), (0, 0)
"""Type of number and numbering plan (5.2.5, 5.2.6): E.164, a word, and a sender the centre chooses."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first 16 bytes of a unit; `length` counts them."""

    length: int
    command: int
    status: int
    sequence: int


def parse_header(data: bytes) -> Header:
    """Raises ValueError when the announced length is impossible."""
    header = Header(*_HEADER.unpack(data))
    if not HEADER_BYTES <= header.length <= LONGEST_BYTES:
        raise ValueError(f"it announces a unit of {header.length} bytes")
    return header


def unit(command: int, sequence: int, body: bytes = b"", status: int = OK) -> bytes:
    return _HEADER.pack(HEADER_BYTES + len(body), command, status, sequence) + body


def bind_body(system_id: str, password: str, system_type: str) -> bytes:
    """interface_version 0x34 is SMPP 3.4."""
    return _text(system_id, 15) + _text(password, 8) + _text(system_type, 12) + bytes([0x34, 0, 0]) + b"\0"


def submit_body(source: str, destination: str, message: bytes, *, gsm7: bool, segmented: bool) -> bytes:
    """`message` holds the user data header too when it is `segmented`; at most 254 bytes."""
    return b"".join(
        [
            b"\0",
            bytes(_numbering(source)) + _text(source.lstrip("+"), 20),
            bytes(INTERNATIONAL) + _text(destination.lstrip("+"), 20),
            bytes([UDH_INDICATOR if segmented else 0, 0, 0]),
            b"\0\0",
            bytes([0, 0, DEFAULT_ALPHABET if gsm7 else UCS2, 0]),
            bytes([len(message)]) + message,
        ]
    )


def _numbering(source: str) -> tuple[int, int]:
    if not source:
        return UNKNOWN
    return INTERNATIONAL if source.lstrip("+").isdigit() else ALPHANUMERIC


def first_text(body: bytes) -> str:
    """The C-octet string a body begins with, such as the message_id of submit_sm_resp."""
    return body.split(b"\0", 1)[0].decode("ascii", "replace")


def described(status: int) -> str:
    return f"status 0x{status:08X} ({STATUS.get(status, 'not a code of SMPP 3.4')})"


def _text(value: str, longest: int) -> bytes:
    """A C-octet string. Raises ValueError, without the value, when it does not fit: it may be a password."""
    if len(value) > longest or not value.isascii() or "\0" in value:
        raise ValueError(f"a field takes at most {longest} ASCII characters")
    return value.encode("ascii") + b"\0"
