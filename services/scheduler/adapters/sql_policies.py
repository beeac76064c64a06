"""Policies in SQL."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Select, delete, func, insert, select, update

from services.chassis.sql import Reader
from services.scheduler.adapters.tables import POLICIES
from services.scheduler.domain.policy import Policy

_DOCUMENT = TypeAdapter(Policy)


class SqlPolicies:
    """``ports.Policies`` within one transaction."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, policy_id: str) -> Policy | None:
        found = await self._all(_SELECT.where(POLICIES.c.policy_id == policy_id))
        return found[0] if found else None

    async def page(self, after: str, size: int) -> Sequence[Policy]:
        wanted = _SELECT.where(POLICIES.c.policy_id > after).order_by(POLICIES.c.policy_id).limit(size)
        return await self._all(wanted)

    async def due(self, now: datetime) -> Sequence[Policy]:
        wanted = _SELECT.where(POLICIES.c.next_run_time <= now)
        return await self._all(wanted.order_by(POLICIES.c.next_run_time, POLICIES.c.policy_id))

    async def next_run_time(self) -> datetime | None:
        moment: datetime | None = await self._reader.scalar(select(func.min(POLICIES.c.next_run_time)))
        return moment

    async def put(self, policy: Policy) -> None:
        values = {
            "next_run_time": policy.next_run_time,
            "document": _DOCUMENT.dump_json(policy).decode(),
        }
        changed = await self._reader.execute(
            update(POLICIES).where(POLICIES.c.policy_id == policy.policy_id).values(values)
        )
        if changed.rowcount == 0:
            await self._reader.execute(insert(POLICIES).values(policy_id=policy.policy_id, **values))

    async def delete(self, policy_id: str) -> None:
        await self._reader.execute(delete(POLICIES).where(POLICIES.c.policy_id == policy_id))

    async def _all(self, wanted: Select[tuple[str]]) -> list[Policy]:
        rows = await self._reader.execute(wanted)
        return [_DOCUMENT.validate_json(document) for (document,) in rows]


_SELECT: Select[tuple[str]] = select(POLICIES.c.document)
