"""VMs whose snapshot was refused, in SQL: what is told of them is told once, whoever dies."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update

from services.chassis.sql import Database
from services.hypervisor.adapters.documents import Documents
from services.hypervisor.adapters.tables import HINDERED
from services.hypervisor.domain.care import Hindered
from services.hypervisor.domain.events import PoolEvent
from services.hypervisor.domain.pool import Pool
from services.hypervisor.wire.events import event_to_proto, subject_of

_HINDERED = Documents(Hindered)


class SqlHindered:
    """``ports.stores.HinderedStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, pool_id: str) -> tuple[Hindered, ...]:
        """See ports.HinderedStore."""
        query = select(HINDERED.c.document).where(HINDERED.c.pool_id == pool_id).order_by(HINDERED.c.vm_id)
        async with self._database.read() as reader:
            rows = (await reader.execute(query)).scalars().all()
        return tuple(_HINDERED.value(row) for row in rows)

    async def note(self, pool: Pool, hindered: Hindered, events: Sequence[PoolEvent]) -> None:
        """See ports.HinderedStore."""
        this = (HINDERED.c.pool_id == pool.pool_id, HINDERED.c.vm_id == hindered.vm_id)
        document = _HINDERED.text(hindered)
        async with self._database.begin() as tx:
            if (await tx.execute(update(HINDERED).where(*this).values(document=document))).rowcount:
                return
            row = {"pool_id": pool.pool_id, "vm_id": hindered.vm_id, "document": document}
            await tx.execute(insert(HINDERED).values(**row))
            for event in events:
                await tx.publish(event_to_proto(pool, event), subject_id=subject_of(pool, event))

    async def forget(self, pool: Pool, vm_id: str, events: Sequence[PoolEvent] = ()) -> None:
        """See ports.HinderedStore."""
        this = (HINDERED.c.pool_id == pool.pool_id, HINDERED.c.vm_id == vm_id)
        async with self._database.begin() as tx:
            if not (await tx.execute(delete(HINDERED).where(*this))).rowcount:
                return
            for event in events:
                await tx.publish(event_to_proto(pool, event), subject_id=subject_of(pool, event))
