"""Keeping the local index true to the repository, and telling the repository of new packs."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from services.chassis.errors import DataLoss, NotFound
from services.mover.repository.context import Context
from services.mover.repository.damage import recorded_damage
from services.mover.repository.format.names import INDEX, pack_name, segment_name
from services.mover.repository.format.segment import (
    PackRecord,
    Segment,
    decode_segment,
    encode_segment,
    split_into_segments,
)
from services.mover.repository.packreader import read_record

_LISTINGS: Final = 3


def sync_index(context: Context) -> None:
    """Take new index segments and damage records in; drop what is gone from the store.

    A segment that cannot be read is reported and left out: blobs only it lists are missing until
    ``rebuild_index``.
    """
    for _ in range(_LISTINGS):
        if _take_listed(context):
            break
    context.index.mark_damaged(recorded_damage(context.store))


def _take_listed(context: Context) -> bool:
    """False when a listed segment was gone already: it was merged, and a new listing shows into what."""
    listed = listed_segments(context)
    complete = _take(context, listed - context.index.segments().keys())
    known = context.index.segments()
    if any(_is_gone(context, name) for name, old in known.items() if name not in listed and not old):
        context.on_notice("INDEX_CACHE_STALE", "The store lacks segments the local index has: made anew.")
        context.index.clear()
        return _take(context, listed)
    return complete


def _is_gone(context: Context, name: bytes) -> bool:
    """Whether a segment that no listing shows is really gone: listings may be late."""
    try:
        context.store.size(segment_name(name))
    except NotFound:
        return True
    return False


def _take(context: Context, names: Collection[bytes]) -> bool:
    if not names:
        return True
    complete = True
    with context.index.intake() as intake:
        for name in sorted(names):
            try:
                intake.add(name, read_segment(context, name))
            except NotFound:
                complete = False
            except DataLoss as error:
                context.on_notice("INDEX_SEGMENT_UNREADABLE", f"{error.message} Rebuild the index.")
    return complete


def index_packs(
    context: Context, packs: Sequence[PackRecord], indexed: Callable[[Sequence[PackRecord]], None]
) -> list[str]:
    """Write segments that list durable packs; their names. ``indexed`` hears of each part that is listed."""
    names = []
    for segment in split_into_segments(packs):
        name = context.objects.put_segment(encode_segment(segment))
        context.index.add_segment(name, segment)
        indexed(segment.packs)
        names.append(name.hex())
    return names


def records_of(context: Context, packs: Mapping[bytes, str]) -> Iterator[PackRecord]:
    """What is in packs (by SHA-256, with their kind), from index segments, or else from the packs themselves.

    Those that one segment lists come together, each once. Those that are gone, or whose directory is damaged
    and in no segment, are left out.
    """
    left = dict(packs)
    for segment, listed in context.index.segments_of(packs).items():
        with contextlib.suppress(NotFound, DataLoss):
            for record in read_segment(context, segment).packs:
                if record.sha256 in listed and left.pop(record.sha256, None) is not None:
                    yield record
    for sha256, kind in left.items():
        name = pack_name(kind, sha256)
        with contextlib.suppress(NotFound, DataLoss):
            yield read_record(context.store, context.keys, name, context.store.size(name))


def read_segment(context: Context, name: bytes) -> Segment:
    """Raises NotFound, DataLoss."""
    return decode_segment(context.objects.get_segment(name), segment_name(name))


def listed_segments(context: Context) -> set[bytes]:
    """SHA-256 of every segment the store lists."""
    names = (stored.name.removeprefix(INDEX) for stored in context.store.list(INDEX))
    return {bytes.fromhex(tail) for tail in names if len(tail) == 64 and set(tail) <= set("0123456789abcdef")}
