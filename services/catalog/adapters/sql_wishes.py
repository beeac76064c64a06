"""Repositories to be read, in SQL."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, select, update

from services.catalog.adapters.sql_upsert import upsert
from services.catalog.adapters.tables import WISHES
from services.catalog.ports import Wish
from services.chassis.sql import Reader


class SqlWishes:
    """``ports.Wishes`` within one transaction."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def ever(self, repository_id: str) -> bool:
        same = WISHES.c.repository_id == repository_id
        return await self._reader.scalar(select(WISHES.c.repository_id).where(same)) is not None

    async def open(self) -> Sequence[Wish]:
        wanted = select(WISHES).where(WISHES.c.grant_time.is_(None))
        rows = await self._reader.execute(wanted.order_by(WISHES.c.try_time, WISHES.c.repository_id))
        return [Wish(row.repository_id, row.try_time, row.tries, row.activity) for row in rows]

    async def put(self, wish: Wish) -> None:
        values = {
            "repository_id": wish.repository_id,
            "try_time": wish.try_time,
            "tries": wish.tries,
            "activity": wish.activity,
            "grant_time": None,
        }
        await upsert(self._reader, WISHES, WISHES.c.repository_id, values)

    async def grant(self, wish: Wish, now: datetime) -> None:
        same = and_(WISHES.c.repository_id == wish.repository_id, WISHES.c.try_time == wish.try_time)
        await self._reader.execute(update(WISHES).where(same).values(grant_time=now, activity=""))
