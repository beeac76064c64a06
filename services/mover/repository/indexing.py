"""Keeping the local index true to the repository, and making the repository's index from its packs."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from services.chassis.errors import DataLoss, NotFound, PermissionDenied
from services.mover.repository.context import Context, info_of
from services.mover.repository.damage import recorded_damage
from services.mover.repository.format.names import INDEX, PACKS, pack_name, segment_name
from services.mover.repository.format.segment import (
    PackRecord,
    Segment,
    decode_segment,
    encode_segment,
    split_into_segments,
)
from services.mover.repository.packreader import read_record
from services.mover.repository.points import exists

_LISTINGS: Final = 3
_MANY_SEGMENTS: Final = 256
_SMALL_BLOBS: Final = 100_000


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
    listed = _listed_segments(context)
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


def _take(context: Context, names: set[bytes]) -> bool:
    complete = True
    for name in sorted(names):
        try:
            context.index.add_segment(name, _read_segment(context, name))
        except NotFound:
            complete = False
        except DataLoss as error:
            context.on_notice("INDEX_SEGMENT_UNREADABLE", f"{error.message} Rebuild the index.")
    return complete


def compact_index(context: Context, more_than: int = _MANY_SEGMENTS) -> int:
    """Merge small segments when there are ``more_than``, so that a clean machine opens soon; how many.

    Killed at any moment, or done by two at once, every pack stays listed.
    """
    live = [name for name, superseded in context.index.segments().items() if not superseded]
    if len(live) <= more_than:
        return 0
    merged: dict[bytes, PackRecord] = {}
    old: list[bytes] = []
    for name in live:
        try:
            segment = _read_segment(context, name)
        except (NotFound, DataLoss):
            continue
        if sum(len(pack.entries) for pack in segment.packs) < _SMALL_BLOBS:
            old.append(name)
            merged |= {pack.sha256: pack for pack in segment.packs}
    if len(old) > 1:
        _replace(context, sorted(merged.values(), key=lambda pack: pack.sha256), old)
    return len(old)


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


def records_of(context: Context, packs: Mapping[bytes, str]) -> dict[bytes, PackRecord]:
    """What is in packs (by SHA-256, with their kind), from index segments, or else from the packs themselves.

    Those that are gone, or whose directory is damaged and in no segment, are left out.
    """
    records: dict[bytes, PackRecord] = {}
    for segment, listed in context.index.segments_of(packs).items():
        with contextlib.suppress(NotFound, DataLoss):
            found = _read_segment(context, segment).packs
            records |= {record.sha256: record for record in found if record.sha256 in listed}
    for sha256, kind in packs.items():
        if sha256 not in records:
            name = pack_name(kind, sha256)
            with contextlib.suppress(NotFound, DataLoss):
                records[sha256] = read_record(context.store, context.keys, name, context.store.size(name))
    return records


def drop_packs(context: Context, gone: Collection[bytes]) -> None:
    """Replace the index segments that list packs which are gone. Killed at any moment, others stay listed.

    Done by two at once, each may list again what the other has deleted: so both look again afterwards.
    """
    gone = set(gone)
    for _ in range(_LISTINGS):
        sync_index(context)
        kept = _drop_once(context, gone)
        gone = _absent(context, kept)
        if not gone:
            return


def _drop_once(context: Context, gone: Collection[bytes]) -> list[PackRecord]:
    """The packs that the new segments list."""
    kept: dict[bytes, PackRecord] = {}
    old: list[bytes] = []
    for name in context.index.segments_of(gone):
        try:
            segment = _read_segment(context, name)
        except (NotFound, DataLoss) as error:
            context.on_notice("INDEX_SEGMENT_UNREADABLE", f"{error.message} It may still list deleted packs.")
            continue
        old.append(name)
        kept |= {pack.sha256: pack for pack in segment.packs if pack.sha256 not in gone}
    records = sorted(kept.values(), key=lambda pack: pack.sha256)
    if old:
        _replace(context, records, old)
    return records


def _absent(context: Context, packs: list[PackRecord]) -> set[bytes]:
    """Those that are not in the store; a listing that is late is not believed."""
    listed = {stored.name for stored in context.store.list(PACKS)} if packs else set()
    return {pack.sha256 for pack in packs if pack.name not in listed and not exists(context, pack.name)}


def rebuild_index(context: Context) -> int:
    """Write index segments from the packs alone and replace all others; how many packs were read.

    A pack whose directory cannot be read is recorded as damaged. Killed at any moment, the old segments or
    the new one, or both, are there.
    """
    old = sorted(_listed_segments(context))
    records: list[PackRecord] = []
    for stored in context.store.list(PACKS):
        pack = info_of(stored.name, stored.size)
        if pack is None:
            context.on_notice("UNKNOWN_OBJECT", f"{stored.name} is not a pack; it is left alone.")
            continue
        try:
            records.append(read_record(context.store, context.keys, stored.name, stored.size))
        except (DataLoss, NotFound) as error:
            context.report_damage(pack, error.message)
            context.on_notice("PACK_DAMAGED", error.message)
    _replace(context, sorted(records, key=lambda record: record.sha256), old)
    context.index.clear()
    sync_index(context)
    return len(records)


def _replace(context: Context, packs: list[PackRecord], old: list[bytes]) -> None:
    """Write segments of ``packs`` that supersede ``old``, then delete those."""
    for segment in split_into_segments(packs, old):
        context.index.add_segment(context.objects.put_segment(encode_segment(segment)), segment)
    _delete_superseded(context, old)


def _read_segment(context: Context, name: bytes) -> Segment:
    return decode_segment(context.objects.get_segment(name), segment_name(name))


def _delete_superseded(context: Context, names: list[bytes]) -> None:
    for name in names:
        try:
            context.store.delete(segment_name(name))
        except NotFound:
            continue
        except PermissionDenied as error:
            context.on_notice("INDEX_SEGMENT_KEPT", f"{error.message} It is superseded and harmless.")
            return


def _listed_segments(context: Context) -> set[bytes]:
    names = (stored.name.removeprefix(INDEX) for stored in context.store.list(INDEX))
    return {bytes.fromhex(tail) for tail in names if len(tail) == 64 and set(tail) <= set("0123456789abcdef")}
