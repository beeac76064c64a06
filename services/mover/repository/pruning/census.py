"""What of each pack is needed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from services.mover.repository.context import Context, info_of
from services.mover.repository.format.names import PACKS
from services.mover.repository.index import PackInfo
from services.mover.repository.pruning.liveset import LiveSet

_CHECK_EVERY = 10_000


@dataclass(slots=True)
class PackUse:
    """A pack, and how much of it is kept, in blobs and sealed bytes."""

    pack: PackInfo
    kept_blobs: int = 0
    kept_bytes: int = 0
    sealed_bytes: int = 0

    @property
    def share(self) -> float:
        return self.kept_bytes / self.sealed_bytes if self.sealed_bytes else 0.0


@dataclass(slots=True)
class Census:
    """``unused`` packs hold no blob that is kept, ``sparse`` ones some, the emptiest first.

    ``damaged`` packs hold some that are nowhere else: what of them still decodes can be saved. ``strangers``
    are in the store and in no index segment, ``ghosts`` the reverse. ``lost`` blobs are needed and nowhere.
    """

    unused: list[PackUse] = field(default_factory=list)
    sparse: list[PackUse] = field(default_factory=list)
    damaged: list[PackUse] = field(default_factory=list)
    strangers: list[PackInfo] = field(default_factory=list)
    ghosts: set[bytes] = field(default_factory=set)
    lost: int = 0


def take_census(
    context: Context, live: LiveSet, planned: Collection[bytes], check: Callable[[], None]
) -> Census:
    """Look at every copy of every blob once. Of several copies of a blob that is needed one is kept.

    Packs in ``planned`` are left to their plans. ``check`` is called now and then, to stop.
    """
    present = {
        info.sha256: info
        for stored in context.store.list(PACKS)
        if (info := info_of(stored.name, stored.size)) is not None
    }
    uses = {number: PackUse(pack) for number, pack in context.index.numbered_packs().items()}
    census = Census()

    def rank(number: int) -> tuple[bool, bool, bool, int]:
        pack = uses[number].pack
        there = pack.sha256 in present and present[pack.sha256].size == pack.size
        return not there, pack.sha256 in planned, pack.damaged, number

    for seen, (id_, copies) in enumerate(groupby(context.index.copies(), itemgetter(0))):
        if seen % _CHECK_EVERY == 0:
            check()
        here = [(number, stored) for _, number, stored in copies if number in uses]
        for number, stored in here:
            uses[number].sealed_bytes += stored
        if here and id_ in live:
            number, stored = min(here, key=lambda copy: rank(copy[0]))
            uses[number].kept_blobs += 1
            uses[number].kept_bytes += stored
            census.lost += uses[number].pack.sha256 not in present
    _sort(census, uses, present, planned)
    return census


def _sort(
    census: Census, uses: dict[int, PackUse], present: dict[bytes, PackInfo], planned: Collection[bytes]
) -> None:
    known = set()
    for use in uses.values():
        sha256 = use.pack.sha256
        known.add(sha256)
        if sha256 in planned:
            continue
        if sha256 not in present:
            if not use.kept_blobs:
                census.ghosts.add(sha256)
        elif not use.kept_blobs:
            census.unused.append(use)
        elif use.pack.damaged:
            census.damaged.append(use)
        else:
            census.sparse.append(use)
    census.sparse.sort(key=lambda use: use.share)
    census.strangers = [
        pack for sha256, pack in present.items() if sha256 not in known and sha256 not in planned
    ]
