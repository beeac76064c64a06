"""What of each pack is needed: five bytes of memory a pack, nothing a blob."""

from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from services.mover.repository.context import Context
from services.mover.repository.index import IndexedPack, PackInfo
from services.mover.repository.packlisting import PackListing, listed_packs
from services.mover.repository.pruning.liveset import LiveSet

_CHECK_EVERY: Final = 10_000
_KNOWN, _ABSENT, _TORN, _PLANNED, _DAMAGED = 16, 8, 4, 2, 1
"""What a pack is, in one byte. Of two the lesser is better to keep a copy in; 0 is none the index knows."""


@dataclass(frozen=True, slots=True)
class PackUse:
    """A pack, and how many of its sealed bytes are kept."""

    pack: PackInfo
    kept_bytes: int
    sealed_bytes: int

    @property
    def share(self) -> float:
        return self.kept_bytes / self.sealed_bytes


@dataclass(frozen=True, slots=True)
class Bounds:
    """Packs are sparse when less than the share ``sparse_below`` is kept, or their epoch is to be retired;
    small below ``small_bytes``.
    """

    sparse_below: float
    small_bytes: int
    retire_through: int = 0


@dataclass(slots=True)
class Census:
    """``unused`` packs hold no blob that is kept, ``sparse`` ones few, ``small`` ones are small and used.

    ``damaged`` packs hold some that are nowhere else: what of them still decodes can be saved. ``strangers``
    are in the store and in no index segment, ``ghosts`` the reverse. ``lost`` blobs are needed and nowhere.
    """

    unused: list[PackInfo] = field(default_factory=list)
    sparse: list[PackUse] = field(default_factory=list)
    small: list[PackUse] = field(default_factory=list)
    damaged: list[PackUse] = field(default_factory=list)
    strangers: list[PackInfo] = field(default_factory=list)
    ghosts: set[bytes] = field(default_factory=set)
    lost: int = 0


def take_census(
    context: Context, live: LiveSet, planned: Collection[bytes], bounds: Bounds, check: Callable[[], None]
) -> Census:
    """Look at every copy of every blob once. Of several copies of a blob that is needed one is kept.

    Packs in ``planned`` are left to their plans. ``check`` is called now and then, to stop. Others may clear
    or repair the index meanwhile: a pack's number never becomes another's, and what seems to be in no segment
    is judged by its own directory. Raises Unavailable when the index had to be made anew.
    """
    with context.index.same_numbers():
        return _counted(context, live, planned, bounds, check)


def _counted(
    context: Context, live: LiveSet, planned: Collection[bytes], bounds: Bounds, check: Callable[[], None]
) -> Census:
    census = Census()
    states = bytearray(
        context.index.highest_number() + 1
    )  # before the listing: what comes later is not in it
    with listed_packs(context.store) as listed:
        _judge_packs(context, listed, planned, states)
        kept = array("I", bytes(array("I").itemsize * len(states)))
        _count(context, live, states, kept, census, check)
        for batch in context.index.pack_batches():
            for pack in batch:
                if pack.number < len(states):
                    _place(census, pack, states[pack.number], kept[pack.number], bounds)
        for some in listed.batches():
            known = context.index.known_packs([pack.sha256 for pack in some])
            census.strangers += [p for p in some if p.sha256 not in known and p.sha256 not in planned]
    return census


def _judge_packs(
    context: Context, listed: PackListing, planned: Collection[bytes], states: bytearray
) -> None:
    """Fill in what each pack is, by its number in the index."""
    for batch in context.index.pack_batches():
        sizes = listed.sizes([indexed.pack.sha256 for indexed in batch])
        for indexed in batch:
            if indexed.number < len(states):
                states[indexed.number] = _state(indexed.pack, sizes.get(indexed.pack.sha256), planned)


def _state(pack: PackInfo, size: int | None, planned: Collection[bytes]) -> int:
    there = _ABSENT if size is None else _TORN if size != pack.size else 0
    return _KNOWN | there | (pack.sha256 in planned) * _PLANNED | pack.damaged * _DAMAGED


def _count(
    context: Context,
    live: LiveSet,
    states: bytearray,
    kept: "array[int]",
    census: Census,
    check: Callable[[], None],
) -> None:
    """Add to ``kept``, by pack, the stored bytes of each blob that is needed, for its best copy alone."""
    last = b""
    best: tuple[int, int, int] | None = None

    def settle() -> None:
        if best is not None:
            state, number, stored = best
            kept[number] += stored
            census.lost += bool(state & _ABSENT)

    for seen, (id_, number, stored) in enumerate(context.index.copies()):
        if seen % _CHECK_EVERY == 0:
            check()
        state = states[number] if number < len(states) else 0
        if not state:
            continue  # the index has heard of the pack since
        if id_ != last:
            settle()
            last = id_
            best = (state, number, stored) if id_ in live else None
        elif best is not None:
            best = min(best, (state, number, stored))
    settle()


def _place(census: Census, indexed: IndexedPack, state: int, kept: int, bounds: Bounds) -> None:
    pack = indexed.pack
    use = PackUse(pack, kept, indexed.sealed_bytes)
    if not state or state & _PLANNED:
        return
    if state & _ABSENT:
        if not kept:
            census.ghosts.add(pack.sha256)
    elif not kept:
        census.unused.append(pack)
    elif state & _DAMAGED:
        census.damaged.append(use)
    elif use.share < bounds.sparse_below or pack.epoch <= bounds.retire_through:
        census.sparse.append(use)
    elif pack.size < bounds.small_bytes:
        census.small.append(use)
