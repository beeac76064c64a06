"""Interventions in SQL, sealed: the URLs of hooks are secrets."""

from sqlalchemy import delete, insert, select

from services.chassis.sealing import Sealer
from services.chassis.sql import Database
from services.hypervisor.adapters.documents import Documents
from services.hypervisor.adapters.sealed_bytes import seal, unseal
from services.hypervisor.adapters.tables import INTERVENTIONS
from services.hypervisor.domain.intervention import Intervention

_INTERVENTIONS = Documents(Intervention)


class SqlInterventions:
    """``ports.stores.InterventionStore``."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def save(self, intervention: Intervention) -> None:
        """See ports.InterventionStore."""
        id = intervention.source_id
        sealed = seal(self._sealer, _INTERVENTIONS.text(intervention).encode(), id)
        async with self._database.begin() as tx:
            await tx.execute(delete(INTERVENTIONS).where(INTERVENTIONS.c.source_id == id))
            await tx.execute(insert(INTERVENTIONS).values(source_id=id, sealed=sealed))

    async def get(self, source_id: str) -> Intervention | None:
        """See ports.InterventionStore."""
        query = select(INTERVENTIONS.c.sealed).where(INTERVENTIONS.c.source_id == source_id)
        async with self._database.read() as reader:
            sealed = await reader.scalar(query)
        if sealed is None:
            return None
        return _INTERVENTIONS.value(unseal(self._sealer, sealed, source_id).decode())

    async def forget(self, source_id: str) -> None:
        """See ports.InterventionStore."""
        async with self._database.begin() as tx:
            await tx.execute(delete(INTERVENTIONS).where(INTERVENTIONS.c.source_id == source_id))
