"""Keeping the local index true to the repository, and making the repository's index from its packs."""

from services.chassis.errors import DataLoss, NotFound, PermissionDenied
from services.mover.repository.context import Context, info_of
from services.mover.repository.damage import recorded_damage
from services.mover.repository.format.names import INDEX, PACKS, segment_name
from services.mover.repository.format.segment import (
    PackRecord,
    decode_segment,
    encode_segment,
    split_into_segments,
)
from services.mover.repository.packreader import read_record


def sync_index(context: Context) -> None:
    """Take new index segments and damage records in; drop what is gone from the store.

    A segment that cannot be read is reported and left out: blobs only it lists are missing until
    ``rebuild_index``.
    """
    listed = _listed_segments(context)
    known = context.index.segments()
    if any(name not in listed and not superseded for name, superseded in known.items()):
        context.on_notice(
            "INDEX_CACHE_STALE", "The local index knows segments the store lacks; it is made anew."
        )
        context.index.clear()
        known = {}
    for name in sorted(listed - known.keys()):
        try:
            body = context.objects.get_segment(name)
            context.index.add_segment(name, decode_segment(body, segment_name(name)))
        except (DataLoss, NotFound) as error:
            context.on_notice("INDEX_SEGMENT_UNREADABLE", f"{error.message} Rebuild the index.")
    context.index.mark_damaged(recorded_damage(context.store))


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
    segments = split_into_segments(sorted(records, key=lambda record: record.sha256), old)
    new = {context.objects.put_segment(encode_segment(segment)) for segment in segments}
    _delete_superseded(context, [name for name in old if name not in new])
    context.index.clear()
    sync_index(context)
    return len(records)


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
