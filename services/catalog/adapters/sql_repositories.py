"""Names of repositories in SQL."""

from datetime import datetime

from sqlalchemy import select

from services.catalog.adapters.sql_upsert import upsert
from services.catalog.adapters.tables import REPOSITORIES
from services.chassis.sql import Reader


class SqlRepositories:
    """``ports.Repositories`` within one transaction."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def put(self, repository_id: str, display_name: str, moment: datetime) -> None:
        known = select(REPOSITORIES.c.name_time).where(REPOSITORIES.c.repository_id == repository_id)
        before: datetime | None = await self._reader.scalar(known)
        if before is None or moment >= before:
            values = {"repository_id": repository_id, "display_name": display_name, "name_time": moment}
            await upsert(self._reader, REPOSITORIES, REPOSITORIES.c.repository_id, values)
