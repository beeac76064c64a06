"""Tar as xapi writes it: old headers without magic or names, mode 0400, time 0 (recorded)."""

from dataclasses import dataclass

BLOCK = 512
END = bytes(2 * BLOCK)
_CHECKSUM_AT = slice(148, 156)


class BadTar(ValueError):
    """The bytes are no tar header."""


@dataclass(frozen=True)
class Member:
    name: str
    size: int

    @property
    def padding(self) -> int:
        """Bytes between its data and the next header."""
        return -self.size % BLOCK


def header(name: str, size: int) -> bytes:
    """The 512 bytes before a member's data. Raises ``ValueError`` for a name over 100 bytes."""
    encoded = name.encode()
    if len(encoded) > 100:
        raise ValueError(f"{name} is too long for a tar header")
    block = bytearray(BLOCK)
    block[: len(encoded)] = encoded
    block[100:108] = b"0000400\0"
    block[108:116] = b"0000000\0"
    block[116:124] = b"0000000\0"
    block[124:136] = f"{size:011o}\0".encode()
    block[136:148] = b"00000000000\0"
    block[_CHECKSUM_AT] = b" " * 8
    block[_CHECKSUM_AT] = f"{sum(block):07o}\0".encode()
    return bytes(block)


def parse_header(block: bytes) -> Member | None:
    """None for a block of zeroes, which ends an archive. Raises ``BadTar``."""
    if block == bytes(BLOCK):
        return None
    try:
        stored = int(block[_CHECKSUM_AT].strip(b"\0 "), 8)
        size = int(block[124:136].strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise BadTar("a tar header has no checksum or size") from None
    if stored != sum(block[:148]) + 8 * 32 + sum(block[156:]):
        raise BadTar("the checksum of a tar header is wrong")
    return Member(block[:100].split(b"\0", 1)[0].decode("utf-8", "replace"), size)


def padded(data: bytes) -> bytes:
    """``data`` and the zeroes up to the next block."""
    return data + bytes(-len(data) % BLOCK)
