"""Index segments: which pack holds which blob (docs/repository-format.md, section 9)."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.mover.repository.format.blob import ENTRY, BlobEntry, decode_entries
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import (
    MAX_BLOBS_PER_PACK,
    MAX_BLOBS_PER_SEGMENT,
    MAX_PACK_BYTES,
    pack_name,
)
from services.mover.repository.format.pack import HEADER_BYTES, KINDS

_VERSION: Final = 1
_COUNT: Final = struct.Struct("<I")
_PACK: Final = struct.Struct("<32sQB3sI32sI")
_KIND_NAMES: Final = {code: name for name, code in KINDS.items()}
WRITTEN_BLOBS: Final = 200_000
"""A segment may have a million; whoever reads one has all of it in memory."""


@dataclass(frozen=True, slots=True)
class PackRecord:
    """All a reader needs to read blobs of a pack without reading its header or directory."""

    sha256: bytes
    size: int
    kind: str
    epoch: int
    salt: bytes
    entries: tuple[BlobEntry, ...]

    @property
    def name(self) -> str:
        return pack_name(self.kind, self.sha256)

    def offsets(self) -> list[int]:
        """Where in the pack each slot begins, in bytes."""
        offsets, at = [], HEADER_BYTES
        for entry in self.entries:
            offsets.append(at)
            at += entry.stored
        return offsets


@dataclass(frozen=True, slots=True)
class Segment:
    packs: tuple[PackRecord, ...]
    superseded: tuple[bytes, ...] = ()


def encode_segment(segment: Segment) -> bytes:
    parts = [_COUNT.pack(_VERSION), _COUNT.pack(len(segment.superseded)), *segment.superseded]
    parts.append(_COUNT.pack(len(segment.packs)))
    for pack in segment.packs:
        kind = KINDS[pack.kind]
        parts.append(
            _PACK.pack(pack.sha256, pack.size, kind, bytes(3), pack.epoch, pack.salt, len(pack.entries))
        )
        parts += [entry.encode() for entry in pack.entries]
    return b"".join(parts)


def decode_segment(data: bytes, what: str) -> Segment:
    """Raises DataLoss naming ``what`` unless ``data`` is exactly one segment."""
    at = 0

    def take(length: int) -> bytes:
        nonlocal at
        taken = data[at : at + length]
        if len(taken) != length:
            raise damaged(what, "it ends too early")
        at += length
        return taken

    def number() -> int:
        value: int = _COUNT.unpack(take(_COUNT.size))[0]
        return value

    if number() != _VERSION:
        raise damaged(what, "it is of an unknown version")
    superseded = tuple(take(32) for _ in range(number()))
    packs = []
    blobs = 0
    for _ in range(number()):
        sha256, size, kind, reserved, epoch, salt, count = _PACK.unpack(take(_PACK.size))
        possible = size <= MAX_PACK_BYTES and 1 <= count <= MAX_BLOBS_PER_PACK
        if kind not in _KIND_NAMES or any(reserved) or not possible:
            raise damaged(what, "it lists an impossible pack")
        blobs += count
        if blobs > MAX_BLOBS_PER_SEGMENT:
            raise damaged(what, "it lists more blobs than a segment may")
        entries = decode_entries(take(count * ENTRY.size), what)
        packs.append(PackRecord(sha256, size, _KIND_NAMES[kind], epoch, salt, tuple(entries)))
    if at != len(data):
        raise damaged(what, "something follows its last pack")
    return Segment(tuple(packs), superseded)


def split_into_segments(packs: Iterable[PackRecord], superseded: Sequence[bytes] = ()) -> Iterator[Segment]:
    """Segments of at most WRITTEN_BLOBS blobs; only the last one supersedes, since it is written last."""
    group: list[PackRecord] = []
    blobs = 0
    for pack in packs:
        if group and blobs + len(pack.entries) > WRITTEN_BLOBS:
            yield Segment(tuple(group))
            group, blobs = [], 0
        group.append(pack)
        blobs += len(pack.entries)
    yield Segment(tuple(group), tuple(superseded))
