"""Reading an XVA from a stream: plain, gzip or zstd."""

import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import zstandard

from services.simulator.failure import XapiFailure
from services.simulator.storage.codecs.tar import sha1, xxhash64
from services.simulator.transfers import tar

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
MEMBER_LIMIT = 64 * 1024 * 1024
"""Bytes of one member; chunks of disks have 1 MiB, ``ova.xml`` less than this."""


@dataclass(frozen=True)
class Chunk:
    """``disk`` is the id of a VDI, ``data`` may be empty: a sign of life."""

    disk: str
    number: int
    data: bytes


class XvaReader:
    """Members of an archive, one after another, in bounded memory."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._unpack: Callable[[bytes], bytes] | None = None
        self._buffer = bytearray()

    async def ova(self) -> bytes:
        """The first member. Raises ``IMPORT_ERROR_PREMATURE_EOF``, ``IMPORT_ERROR_UNEXPECTED_FILE``."""
        member = await self._member()
        if member is None:
            raise XapiFailure("IMPORT_ERROR_PREMATURE_EOF")
        if member.name != "ova.xml":
            raise XapiFailure("IMPORT_ERROR_UNEXPECTED_FILE", "ova.xml", member.name)
        return await self._data(member)

    async def chunks(self, *, check: bool) -> AsyncIterator[Chunk]:
        """Until the archive ends, with its zero blocks or without. Raises ``IMPORT_ERROR`` for a wrong
        checksum.
        """
        while (member := await self._member()) is not None:
            disk, _, number = member.name.rpartition("/")
            data = await self._data(member)
            checksum = await self._member()
            if checksum is None or not number.isdecimal():
                raise XapiFailure("IMPORT_ERROR_PREMATURE_EOF")
            stored = (await self._data(checksum)).decode("ascii", "replace")
            computed = _checksum(checksum.name, data)
            if check and stored != computed:
                text = f"Block {member.name} checksum failed: original = {stored}; recomputed = {computed}"
                raise XapiFailure(
                    "IMPORT_ERROR", f'INTERNAL_ERROR: [ Stream_vdi.Invalid_checksum("{text}") ]'
                )
            yield Chunk(disk, int(number), data)

    async def _member(self) -> tar.Member | None:
        """None at the end."""
        if not await self._fill(tar.BLOCK):
            if self._buffer:
                raise XapiFailure("IMPORT_ERROR_PREMATURE_EOF")
            return None
        try:
            member = tar.parse_header(self._take(tar.BLOCK))
        except tar.BadTar:
            raise XapiFailure("IMPORT_ERROR_PREMATURE_EOF") from None
        if member is not None and member.size > MEMBER_LIMIT:
            raise XapiFailure("IMPORT_ERROR", f"member {member.name} is too large")
        return member

    async def _data(self, member: tar.Member) -> bytes:
        if not await self._fill(member.size + member.padding):
            raise XapiFailure("IMPORT_ERROR_PREMATURE_EOF")
        data = self._take(member.size)
        self._take(member.padding)
        return data

    async def _fill(self, wanted: int) -> bool:
        """Whether so many bytes are there."""
        while len(self._buffer) < wanted:
            piece = await anext(self._pieces, b"")
            if not piece:
                return False
            if self._unpack is None:
                self._unpack = _unpacker(piece)
            try:
                self._buffer += self._unpack(piece)
            except (zlib.error, zstandard.ZstdError):
                raise XapiFailure("IMPORT_ERROR_PREMATURE_EOF") from None
        return True

    def _take(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data


def _unpacker(start: bytes) -> Callable[[bytes], bytes]:
    if start.startswith(_GZIP):
        return zlib.decompressobj(wbits=31).decompress
    if start.startswith(_ZSTD):
        return zstandard.ZstdDecompressor().decompressobj().decompress
    return lambda piece: piece


def _checksum(name: str, data: bytes) -> str:
    """By the suffix of the member: XXH64, or the SHA-1 of older releases."""
    _, text = xxhash64(data) if name.endswith(".xxhash") else sha1(data)
    return text
