"""Which packs are worth storing again: those with little that is needed, and small ones, many into one."""

from collections.abc import Iterable, Iterator
from typing import Final

from services.mover.repository.format.pack import KINDS
from services.mover.repository.pruning.census import Bounds, Census, PackUse
from services.mover.repository.pruning.report import PruneOptions

_SMALL_SHARE: Final = 8
_WORTH_SHARE: Final = 2
_MANY: Final = 64


def bounds_of(options: PruneOptions, pack_bytes: int) -> Bounds:
    """Small is what has less than an eighth of a pack."""
    small = pack_bytes // _SMALL_SHARE if options.merge else 0
    return Bounds(options.repack_below, small, options.retire_through)


def worth_repacking(census: Census, options: PruneOptions, pack_bytes: int) -> list[PackUse]:
    """Damaged packs first, then the emptiest, then small ones; at most ``repack_bytes`` of the latter two."""
    chosen = list(census.damaged)
    left = options.repack_bytes
    for use in sorted(census.sparse, key=lambda use: use.share):
        left -= use.kept_bytes
        if left < 0:
            return chosen
        chosen.append(use)
    for kind in KINDS:
        merged = list(_affordable((use for use in census.small if use.pack.kind == kind), left))
        if _worth_merging(merged, pack_bytes):
            chosen += merged
            left -= sum(use.kept_bytes for use in merged)
    return chosen


def _affordable(uses: Iterable[PackUse], budget: int) -> Iterator[PackUse]:
    """In the order they were stored, so that what belongs together stays together."""
    for use in uses:
        budget -= use.kept_bytes
        if budget < 0:
            return
        yield use


def _worth_merging(uses: list[PackUse], pack_bytes: int) -> bool:
    """What is merged must not be small again soon, or the same bytes would be stored again by each prune.

    So they make half a pack together, or are very many.
    """
    together = sum(use.kept_bytes for use in uses)
    return len(uses) > 1 and (together * _WORTH_SHARE >= pack_bytes or len(uses) >= _MANY)
