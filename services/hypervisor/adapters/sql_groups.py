"""Groups of backup sources in SQL."""

from sqlalchemy import insert, select, update

from services.chassis.sql import Database, Reader
from services.hypervisor.adapters.documents import Documents
from services.hypervisor.adapters.tables import GROUPS
from services.hypervisor.domain.group import Group

_GROUPS = Documents(Group)


class SqlGroups:
    """``ports.stores.GroupStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, group: Group) -> Group:
        """See ports.GroupStore."""
        async with self._database.begin() as tx:
            if (there := await _get(tx, group.group_id)) is not None:
                return there
            row = {"group_id": group.group_id, "document": _GROUPS.text(group)}
            await tx.execute(insert(GROUPS).values(**row))
        return group

    async def save(self, group: Group) -> None:
        """See ports.GroupStore."""
        async with self._database.begin() as tx:
            await tx.execute(
                update(GROUPS).where(GROUPS.c.group_id == group.group_id).values(document=_GROUPS.text(group))
            )

    async def get(self, group_id: str) -> Group | None:
        """See ports.GroupStore."""
        async with self._database.read() as reader:
            return await _get(reader, group_id)


async def _get(reader: Reader, group_id: str) -> Group | None:
    document = await reader.scalar(select(GROUPS.c.document).where(GROUPS.c.group_id == group_id))
    return _GROUPS.value(document) if document is not None else None
