"""A shelf in memory, for tests: the same law as the one in SQL, and it remembers what was told."""

import asyncio
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime

from services.catalog.domain.facts import Fact
from services.catalog.domain.health import Health
from services.catalog.domain.point import Filter, Point, ProtectedAsset, RestorePoint
from services.catalog.ports import Wish


@dataclass
class MemoryRepositories:
    """``ports.Repositories``."""

    names: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    async def put(self, repository_id: str, display_name: str, moment: datetime) -> None:
        before = self.names.get(repository_id)
        if before is None or moment >= before[0]:
            self.names[repository_id] = (moment, display_name)

    def name_of(self, repository_id: str) -> str:
        return self.names.get(repository_id, (None, ""))[1]


@dataclass
class MemoryPoints:
    """``ports.Points``."""

    repositories: MemoryRepositories
    kept: dict[str, Point] = field(default_factory=dict)
    healths: dict[str, Health] = field(default_factory=dict)
    removed: dict[str, datetime] = field(default_factory=dict)

    async def get(self, point_id: str) -> RestorePoint | None:
        point = self.kept.get(point_id)
        return self._whole(point) if point else None

    async def ids_starting_with(self, prefix: str) -> Sequence[str]:
        return [point_id for point_id in self.kept if point_id.startswith(prefix)][:2]

    async def ids_in(self, repository_id: str) -> Set[str]:
        return {point.point_id for point in self.kept.values() if point.repository_id == repository_id}

    async def page(
        self, wanted: Filter, before: tuple[datetime, str] | None, size: int
    ) -> Sequence[RestorePoint]:
        assets = {
            point.asset.asset_id
            for point in self.kept.values()
            if wanted.asset in (point.asset.asset_id, point.asset.display_name)
        }
        found = [
            point
            for point in sorted(self.kept.values(), key=_age, reverse=True)
            if (not wanted.asset or point.asset.asset_id in assets)
            and (not wanted.repository or wanted.repository in self._names(point))
            and (before is None or _age(point) < before)
        ]
        return [self._whole(point) for point in found[:size]]

    async def assets(self, after: tuple[str, str] | None, size: int) -> Sequence[ProtectedAsset]:
        grouped: dict[str, list[Point]] = {}
        for point in sorted((point for point in self.kept.values() if point.readable), key=_age):
            grouped.setdefault(point.asset.asset_id, []).append(point)
        every = [ProtectedAsset(ps[-1].asset, len(ps), ps[-1].snapshot_time) for ps in grouped.values()]
        every.sort(key=_name)
        return [each for each in every if after is None or _name(each) > after][:size]

    async def add(self, point: Point) -> None:
        self.removed.pop(point.point_id, None)
        self.kept[point.point_id] = point

    async def remove(self, point_id: str, now: datetime) -> None:
        self.kept.pop(point_id, None)
        self.healths.pop(point_id, None)
        self.removed[point_id] = now

    async def remove_time(self, point_id: str) -> datetime | None:
        return self.removed.get(point_id)

    async def health(self, point_id: str) -> Health:
        return self.healths.get(point_id, Health())

    async def put_health(self, point_id: str, health: Health) -> None:
        self.healths[point_id] = health

    def _whole(self, point: Point) -> RestorePoint:
        name = self.repositories.name_of(point.repository_id)
        return RestorePoint(point, name, self.healths.get(point.point_id, Health()))

    def _names(self, point: Point) -> tuple[str, str]:
        return point.repository_id, self.repositories.name_of(point.repository_id)


@dataclass
class MemoryWishes:
    """``ports.Wishes``."""

    kept: dict[str, Wish | None] = field(default_factory=dict)

    async def ever(self, repository_id: str) -> bool:
        return repository_id in self.kept

    async def open(self) -> Sequence[Wish]:
        return sorted(filter(None, self.kept.values()), key=lambda wish: (wish.try_time, wish.repository_id))

    async def put(self, wish: Wish) -> None:
        self.kept[wish.repository_id] = wish

    async def grant(self, wish: Wish, now: datetime) -> None:
        current = self.kept.get(wish.repository_id)
        if current is not None and current.try_time == wish.try_time:
            self.kept[wish.repository_id] = None


@dataclass
class MemoryWork:
    """``ports.Work`` on copies, which become the truth at the commit."""

    repositories: MemoryRepositories = field(default_factory=MemoryRepositories)
    wishes: MemoryWishes = field(default_factory=MemoryWishes)
    told: list[Fact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.points = MemoryPoints(self.repositories)

    async def tell(self, fact: Fact) -> None:
        self.told.append(fact)


class MemoryShelf:
    """``ports.Shelf``. ``now.told`` is what was told, in order."""

    def __init__(self) -> None:
        self.now = MemoryWork()
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[MemoryWork]:
        async with self._writer:
            work = deepcopy(self.now)
            yield work
            self.now = work

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[MemoryWork]:
        yield deepcopy(self.now)


def _age(point: Point) -> tuple[datetime, str]:
    return point.snapshot_time, point.point_id


def _name(asset: ProtectedAsset) -> tuple[str, str]:
    return asset.asset.display_name, asset.asset.asset_id
