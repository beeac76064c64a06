"""Index segments that replace others: when small ones pile up, or when packs go.

Never more than one new segment and one old one are in memory, however large the index is.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from services.chassis.errors import DataLoss, NotFound, PermissionDenied
from services.mover.repository.context import Context
from services.mover.repository.format.names import segment_name
from services.mover.repository.format.segment import (
    WRITTEN_BLOBS,
    PackRecord,
    encode_segment,
    split_into_segments,
)
from services.mover.repository.indexing import listed_segments, read_segment, sync_index
from services.mover.repository.packlisting import PackListing, listed_packs
from services.mover.repository.points import exists

_LOOKS: Final = 3
_MANY_SEGMENTS: Final = 256
_SMALL_BLOBS: Final = 100_000


def compact_index(context: Context, more_than: int = _MANY_SEGMENTS) -> int:
    """Merge small segments when there are ``more_than``, so that a clean machine opens soon; how many.

    Killed at any moment, or done by two at once, every pack stays listed.
    """
    small = context.index.small_segments(_SMALL_BLOBS)
    if len(small) <= more_than:
        return 0
    return sum(len(old) for old, _ in _rewritten(context, small, frozenset()) if len(old) > 1)


def drop_packs(context: Context, gone: Collection[bytes]) -> None:
    """Replace the index segments that list packs which are gone. Killed at any moment, others stay listed.

    Done by two at once, each may list again what the other has deleted: so both look again afterwards.
    """
    gone = set(gone)
    for _ in range(_LOOKS):
        sync_index(context)
        with PackListing() as kept:
            for _, packs in _rewritten(context, list(context.index.segments_of(gone)), gone):
                kept.note((pack.sha256, pack.kind, pack.size) for pack in packs)
            gone = absent_packs(context, kept)
        if not gone:
            return


def _rewritten(
    context: Context, names: Iterable[bytes], without: Collection[bytes]
) -> Iterator[tuple[list[bytes], list[PackRecord]]]:
    """Replace these segments by as few as possible; which they were, and what their successor lists.

    One alone is only replaced if ``without`` says what it is not to list any more. Segments that these
    supersede, and whoever wrote that died before they were deleted, are superseded by the successor too:
    else they would count again.
    """
    there = listed_segments(context)
    old: list[bytes] = []
    dead: set[bytes] = set()
    packs: dict[bytes, PackRecord] = {}
    blobs = 0
    for name in names:
        try:
            segment = read_segment(context, name)
        except (NotFound, DataLoss) as error:
            if without:
                text = f"{error.message} It may still list deleted packs."
                context.on_notice("INDEX_SEGMENT_UNREADABLE", text)
            continue
        found = [pack for pack in segment.packs if pack.sha256 not in without]
        more = sum(len(pack.entries) for pack in found)
        if old and blobs + more > WRITTEN_BLOBS:
            yield _replaced(context, old, dead, packs, alone=bool(without))
            old, dead, packs, blobs = [], set(), {}, 0
        old.append(name)
        dead |= there.intersection(segment.superseded)
        packs |= {pack.sha256: pack for pack in found}
        blobs += more
    if old:
        yield _replaced(context, old, dead, packs, alone=bool(without))


def _replaced(
    context: Context, old: list[bytes], dead: set[bytes], packs: dict[bytes, PackRecord], *, alone: bool
) -> tuple[list[bytes], list[PackRecord]]:
    ordered = sorted(packs.values(), key=lambda pack: pack.sha256)
    if alone or len(old) > 1:
        replace_segments(context, ordered, [*old, *sorted(dead)])
    return old, ordered


def absent_packs(context: Context, packs: PackListing) -> set[bytes]:
    """Those that are not in the store; a listing that is late is not believed."""
    absent: set[bytes] = set()
    if not packs:
        return absent
    with listed_packs(context.store) as listed:
        for batch in packs.batches():
            there = listed.sizes([pack.sha256 for pack in batch])
            missing = [pack for pack in batch if pack.sha256 not in there]
            absent.update(pack.sha256 for pack in missing if not exists(context, pack.name))
    return absent


def replace_segments(context: Context, packs: Iterable[PackRecord], old: list[bytes]) -> None:
    """Write segments of ``packs`` that supersede ``old``, then delete those."""
    for segment in split_into_segments(packs, old):
        context.index.add_segment(context.objects.put_segment(encode_segment(segment)), segment)
    _delete_superseded(context, old)


def _delete_superseded(context: Context, names: list[bytes]) -> None:
    for name in names:
        try:
            context.store.delete(segment_name(name))
        except NotFound:
            continue
        except PermissionDenied as error:
            context.on_notice("INDEX_SEGMENT_KEPT", f"{error.message} It is superseded and harmless.")
            return
