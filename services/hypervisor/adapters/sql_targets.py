"""Restore targets in SQL."""

from dataclasses import replace

from sqlalchemy import insert, select, update

from services.chassis.errors import NotFound
from services.chassis.sealing import Sealer
from services.chassis.sql import Database, Transaction
from services.hypervisor.adapters.documents import Documents
from services.hypervisor.adapters.sealed_bytes import seal, unseal
from services.hypervisor.adapters.tables import TARGETS
from services.hypervisor.domain.target import Target, TargetState

_TARGETS = Documents(Target)
_ENDED = (TargetState.COMMITTED, TargetState.ABORTED)


class SqlTargets:
    """``ports.stores.TargetStore``."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def add(self, target: Target, configuration: bytes) -> Target:
        """See ports.TargetStore."""
        async with self._database.begin() as tx:
            if (there := await _get(tx, target.target_id)) is not None:
                return there
            row = {
                "target_id": target.target_id,
                "pool_id": target.placement.pool_id,
                "configuration": seal(self._sealer, configuration, target.target_id),
                **_values(target),
            }
            await tx.execute(insert(TARGETS).values(**row))
        return target

    async def save(self, target: Target) -> None:
        """See ports.TargetStore."""
        async with self._database.begin() as tx:
            await _save(tx, target)

    async def get(self, target_id: str) -> Target | None:
        """See ports.TargetStore."""
        async with self._database.begin() as tx:
            return await _get(tx, target_id)

    async def unfinished(self, pool_id: str) -> tuple[Target, ...]:
        """See ports.TargetStore."""
        query = select(TARGETS.c.document).where(
            TARGETS.c.pool_id == pool_id, TARGETS.c.state.not_in([state.value for state in _ENDED])
        )
        async with self._database.read() as reader:
            return tuple(_TARGETS.value(row) for row in (await reader.execute(query)).scalars())

    async def configuration(self, target_id: str) -> bytes:
        """See ports.TargetStore."""
        async with self._database.read() as reader:
            sealed = await reader.scalar(
                select(TARGETS.c.configuration).where(TARGETS.c.target_id == target_id)
            )
        if sealed is None:
            raise NotFound(
                f"Restore target {target_id} has ended.", reason="TARGET_ENDED", hint="Start a new restore."
            )
        return unseal(self._sealer, sealed, target_id)


async def give_up(tx: Transaction, target_id: str) -> str | None:
    """The transfer of this id failed: the target is to be aborted; its pool, or None if it has ended.

    One that is being committed has everything it needs: the janitor completes it.
    """
    target = await _get(tx, target_id)
    if target is None or target.state in _ENDED:
        return None
    if target.state in (TargetState.PREPARING, TargetState.PREPARED):
        await _save(tx, replace(target, state=TargetState.ABORTING))
    return target.placement.pool_id


async def _get(tx: Transaction, target_id: str) -> Target | None:
    document = await tx.scalar(select(TARGETS.c.document).where(TARGETS.c.target_id == target_id))
    return _TARGETS.value(document) if document is not None else None


async def _save(tx: Transaction, target: Target) -> None:
    values: dict[str, str | None] = {**_values(target)}
    if target.state in _ENDED:
        values["configuration"] = None
    await tx.execute(update(TARGETS).where(TARGETS.c.target_id == target.target_id).values(**values))


def _values(target: Target) -> dict[str, str]:
    return {"state": target.state.value, "document": _TARGETS.text(target)}
