"""Pools and what was last known of their VMs, in SQL."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update

from services.chassis.config import Secret
from services.chassis.errors import NotFound
from services.chassis.sealing import Sealer
from services.chassis.sql import Database, Transaction
from services.hypervisor.adapters.documents import Documents
from services.hypervisor.adapters.tables import HINDERED, POOLS, VMS
from services.hypervisor.domain.events import PoolEvent
from services.hypervisor.domain.names import pool_name
from services.hypervisor.domain.pool import Picture, Pool
from services.hypervisor.domain.reconcile import Changes
from services.hypervisor.domain.vm import Vm
from services.hypervisor.wire.events import event_to_proto, subject_of

_POOLS = Documents(Pool)
_VMS = Documents(Vm)


class SqlPools:
    """``ports.stores.PoolStore``; passwords are sealed with ``sealer``."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def save(self, pool: Pool, password: Secret, events: Sequence[PoolEvent] = ()) -> None:
        """See ports.PoolStore."""
        sealed = self._sealer.seal(password, pool_name(pool.pool_id))
        values = {"document": _POOLS.text(pool), "password": sealed}
        async with self._database.begin() as tx:
            done = await tx.execute(update(POOLS).where(POOLS.c.pool_id == pool.pool_id).values(**values))
            if not done.rowcount:
                await tx.execute(insert(POOLS).values(pool_id=pool.pool_id, **values))
            await _publish(tx, pool, events)

    async def update(
        self, pool: Pool, events: Sequence[PoolEvent] = (), changes: Changes | None = None
    ) -> None:
        """See ports.PoolStore."""
        async with self._database.begin() as tx:
            done = await tx.execute(
                update(POOLS).where(POOLS.c.pool_id == pool.pool_id).values(document=_POOLS.text(pool))
            )
            if not done.rowcount:
                return
            if changes is not None:
                await _apply(tx, pool.pool_id, changes)
            await _publish(tx, pool, events)

    async def remove(self, pool: Pool, events: Sequence[PoolEvent] = ()) -> None:
        """See ports.PoolStore."""
        async with self._database.begin() as tx:
            for table in (VMS, HINDERED):
                await tx.execute(delete(table).where(table.c.pool_id == pool.pool_id))
            await tx.execute(delete(POOLS).where(POOLS.c.pool_id == pool.pool_id))
            await _publish(tx, pool, events)

    async def all(self) -> tuple[Pool, ...]:
        """See ports.PoolStore."""
        async with self._database.read() as reader:
            rows = (await reader.execute(select(POOLS.c.document))).scalars().all()
        return tuple(_POOLS.value(row) for row in rows)

    async def password(self, pool_id: str) -> Secret:
        """See ports.PoolStore."""
        async with self._database.read() as reader:
            sealed = await reader.scalar(select(POOLS.c.password).where(POOLS.c.pool_id == pool_id))
        if sealed is None:
            raise NotFound(f"There is no pool {pool_id}.", reason="POOL_UNKNOWN", hint="Add it.")
        return self._sealer.open(sealed, pool_name(pool_id))

    async def picture(self, pool: Pool) -> Picture:
        """See ports.PoolStore."""
        async with self._database.read() as reader:
            rows = await reader.execute(select(VMS.c.document).where(VMS.c.pool_id == pool.pool_id))
            vms = [_VMS.value(row) for row in rows.scalars()]
        known = {vm.vm_id: vm for vm in vms}
        return Picture(pool.display_name, pool.product, pool.coordinator, pool.hosts, known)


async def _apply(tx: Transaction, pool_id: str, changes: Changes) -> None:
    gone = [*changes.vms_to_forget, *(vm.vm_id for vm in changes.vms_to_keep)]
    for start in range(0, len(gone), 500):
        some = gone[start : start + 500]
        await tx.execute(delete(VMS).where(VMS.c.pool_id == pool_id, VMS.c.vm_id.in_(some)))
    if changes.vms_to_keep:
        rows = [
            {"pool_id": pool_id, "vm_id": vm.vm_id, "document": _VMS.text(vm)} for vm in changes.vms_to_keep
        ]
        await tx.execute(insert(VMS), rows)


async def _publish(tx: Transaction, pool: Pool, events: Sequence[PoolEvent]) -> None:
    for event in events:
        await tx.publish(event_to_proto(pool, event), subject_id=subject_of(pool, event))
