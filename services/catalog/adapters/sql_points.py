"""Restore points in SQL."""

from collections.abc import Sequence, Set
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, delete, func, insert, or_, select

from services.catalog.adapters.sql_upsert import upsert
from services.catalog.adapters.tables import HEALTHS, POINTS, REMOVED_POINTS, REPOSITORIES
from services.catalog.domain.health import Health
from services.catalog.domain.point import Asset, Filter, Point, ProtectedAsset, RestorePoint
from services.chassis.sql import Reader

_HEALTH = (
    HEALTHS.c.damage_time,
    HEALTHS.c.message,
    HEALTHS.c.message_time,
    HEALTHS.c.verify_time,
    HEALTHS.c.sound_time,
)
_OTHERS = POINTS.alias("others")
_WHOLE: Select[Any] = (
    select(POINTS, REPOSITORIES.c.display_name, *_HEALTH)
    .outerjoin(REPOSITORIES, REPOSITORIES.c.repository_id == POINTS.c.repository_id)
    .outerjoin(HEALTHS, HEALTHS.c.point_id == POINTS.c.point_id)
)


class SqlPoints:
    """``ports.Points`` within one transaction."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, point_id: str) -> RestorePoint | None:
        row = (await self._reader.execute(_WHOLE.where(POINTS.c.point_id == point_id))).first()
        return _whole(row) if row else None

    async def ids_starting_with(self, prefix: str) -> Sequence[str]:
        begins = POINTS.c.point_id.startswith(prefix, autoescape=True)
        return list((await self._reader.execute(select(POINTS.c.point_id).where(begins).limit(2))).scalars())

    async def ids_in(self, repository_id: str) -> Set[str]:
        wanted = select(POINTS.c.point_id).where(POINTS.c.repository_id == repository_id)
        return set((await self._reader.execute(wanted)).scalars())

    async def page(
        self, wanted: Filter, before: tuple[datetime, str] | None, size: int
    ) -> Sequence[RestorePoint]:
        query = _WHOLE.order_by(POINTS.c.snapshot_time.desc(), POINTS.c.point_id.desc()).limit(size)
        if wanted.asset:
            named = or_(_OTHERS.c.asset_id == wanted.asset, _OTHERS.c.asset_name == wanted.asset)
            query = query.where(POINTS.c.asset_id.in_(select(_OTHERS.c.asset_id).where(named)))
        if wanted.repository:
            called = REPOSITORIES.c.display_name == wanted.repository
            query = query.where(or_(POINTS.c.repository_id == wanted.repository, called))
        if before is not None:
            moment, point_id = before
            same = and_(POINTS.c.snapshot_time == moment, POINTS.c.point_id < point_id)
            query = query.where(or_(POINTS.c.snapshot_time < moment, same))
        return [_whole(row) for row in await self._reader.execute(query)]

    async def assets(self, after: tuple[str, str] | None, size: int) -> Sequence[ProtectedAsset]:
        newest_first = (POINTS.c.snapshot_time.desc(), POINTS.c.point_id.desc())
        readable = select(
            POINTS.c.asset_id,
            POINTS.c.asset_name,
            POINTS.c.pool_id,
            POINTS.c.pool_name,
            POINTS.c.snapshot_time,
            func.count().over(partition_by=POINTS.c.asset_id).label("point_count"),
            func.row_number().over(partition_by=POINTS.c.asset_id, order_by=newest_first).label("rank"),
        ).where(POINTS.c.asset_id != "")
        ranked = readable.subquery()
        query = select(ranked).where(ranked.c.rank == 1)
        if after is not None:
            name, asset_id = after
            same = and_(ranked.c.asset_name == name, ranked.c.asset_id > asset_id)
            query = query.where(or_(ranked.c.asset_name > name, same))
        query = query.order_by(ranked.c.asset_name, ranked.c.asset_id).limit(size)
        return [
            ProtectedAsset(_asset(row), row.point_count, row.snapshot_time)
            for row in await self._reader.execute(query)
        ]

    async def add(self, point: Point) -> None:
        for table in (REMOVED_POINTS, POINTS):
            await self._reader.execute(delete(table).where(table.c.point_id == point.point_id))
        await self._reader.execute(
            insert(POINTS).values(
                point_id=point.point_id,
                repository_id=point.repository_id,
                asset_id=point.asset.asset_id,
                asset_name=point.asset.display_name,
                pool_id=point.asset.pool_id,
                pool_name=point.asset.pool_display_name,
                snapshot_time=point.snapshot_time,
                document=point.document,
            )
        )

    async def remove(self, point_id: str, now: datetime) -> None:
        for table in (POINTS, HEALTHS):
            await self._reader.execute(delete(table).where(table.c.point_id == point_id))
        values = {"point_id": point_id, "remove_time": now}
        await upsert(self._reader, REMOVED_POINTS, REMOVED_POINTS.c.point_id, values)

    async def remove_time(self, point_id: str) -> datetime | None:
        wanted = select(REMOVED_POINTS.c.remove_time).where(REMOVED_POINTS.c.point_id == point_id)
        moment: datetime | None = await self._reader.scalar(wanted)
        return moment

    async def health(self, point_id: str) -> Health:
        row = (await self._reader.execute(select(*_HEALTH).where(HEALTHS.c.point_id == point_id))).first()
        return _health(row) if row else Health()

    async def put_health(self, point_id: str, health: Health) -> None:
        await upsert(self._reader, HEALTHS, HEALTHS.c.point_id, {"point_id": point_id, **asdict(health)})


def _whole(row: Row[Any]) -> RestorePoint:
    point = Point(row.point_id, row.repository_id, _asset(row), row.snapshot_time, row.document)
    return RestorePoint(point, row.display_name or "", _health(row))


def _asset(row: Row[Any]) -> Asset:
    return Asset(row.asset_id, row.asset_name, row.pool_id, row.pool_name)


def _health(row: Row[Any]) -> Health:
    return Health(row.damage_time, row.message or "", row.message_time, row.verify_time, row.sound_time)
