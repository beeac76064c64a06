"""Which packs a restore point needs that the target does not have."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import partial

from services.chassis.errors import DataLoss
from services.mover.repository.context import Context
from services.mover.repository.format.point import RestorePoint
from services.mover.repository.index import PackInfo
from services.mover.repository.plans import Plans
from services.mover.repository.walking import blobs_of


@dataclass(slots=True)
class Load:
    """What some points need: packs by their SHA-256; ``left`` tells why a point cannot be made."""

    packs: dict[bytes, PackInfo] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    pages: dict[str, set[bytes]] = field(default_factory=dict)
    """Pages walked for each point."""
    walked: set[bytes] = field(default_factory=set)


class Needs:
    """Walks points of ``source``. A page that a point at the target has too is not read again.

    Costs memory for the id of each page met: one for a GiB of distinct content.
    """

    def __init__(self, source: Context, target: Context, refused: Mapping[bytes, str]) -> None:
        """``refused``: packs that cannot be sent, and why; it may grow meanwhile."""
        self._source, self._target, self._refused = source, target, refused
        self._whole: set[bytes] = set()
        self._relied_on: set[str] = set()

    def has(self, point: RestorePoint) -> None:
        """The target has this point, hence all that its pages name. Reads no page of the lowest level."""
        self._relied_on.add(point.point_id)
        for disk in point.disks:
            self._whole.update(page_id for _, page_id in self._source.disk_map(disk).pages())

    def still_there(self, point_ids: Set[str]) -> None:
        """Points the target has now. When one that was relied on is gone, so may be what it needed."""
        if not self._relied_on <= point_ids:
            self._whole.clear()
            self._relied_on.clear()

    def of(self, points: Iterable[RestorePoint], plans: Plans) -> Load:
        """What to send so that ``points`` can be made; nothing in ``plans`` of the target is relied on."""
        load = Load()
        for point in points:
            wanted, walked = dict(load.packs), set[bytes]()
            is_news = partial(self._is_news, walked, load.walked)
            try:
                for ids in blobs_of(self._source, point, is_news):
                    self._look_up(ids, plans, wanted)
            except DataLoss as error:
                load.left[point.point_id] = error.message
                continue
            load.packs = wanted
            load.pages[point.point_id] = walked
            load.walked |= walked
        return load

    def made(self, load: Load, point_id: str) -> None:
        """The target has this point of a load now."""
        self._relied_on.add(point_id)
        self._whole |= load.pages.get(point_id, set())

    def _is_news(self, walked: set[bytes], before: Set[bytes], page: bytes) -> bool:
        news = not (page in self._whole or page in before or page in walked)
        walked.add(page)
        return news

    def _look_up(self, ids: list[bytes], plans: Plans, wanted: dict[bytes, PackInfo]) -> None:
        there = self._target.index.find(ids)
        missing = [
            id_
            for id_ in ids
            if not any(
                not copy.pack.damaged and not plans.hides(copy.pack.sha256) for copy in there.get(id_, ())
            )
        ]
        here = self._source.index.find(missing)
        for id_ in missing:
            packs = [copy.pack for copy in here.get(id_, ())]
            if not any(pack.sha256 in wanted for pack in packs):
                pack = self._sendable(id_, packs, plans)
                wanted[pack.sha256] = pack

    def _sendable(self, id_: bytes, packs: list[PackInfo], plans: Plans) -> PackInfo:
        why = f"blob {id_.hex()} is in no pack."
        for pack in packs:
            if pack.damaged:
                why = f"{pack.name} is damaged."
            elif pack.sha256 in self._refused:
                why = self._refused[pack.sha256]
            elif plans.hides(pack.sha256):
                why = f"{pack.name} is about to be pruned at {self._target.store.location}."
            else:
                return pack
        raise DataLoss(why, reason="COPY_LACKS_DATA", hint="Verify the repository, then copy again.")
