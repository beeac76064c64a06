"""Publishes what transactions left behind, in order, until it is acknowledged.

Killed before publishing: the rows are still there. Killed between the acknowledgement and the deletion: they
are published again under the same ``Nats-Msg-Id`` and JetStream drops them.
"""

from datetime import timedelta
from typing import NamedTuple, Self

import structlog
from sqlalchemy import delete, func, select

from services.chassis.bus.nats_bus import Bus
from services.chassis.cancelled import raise_if_cancelled
from services.chassis.clock import Clock, SystemClock
from services.chassis.errors import ResourceExhausted, Unavailable, XenkeepError
from services.chassis.metrics import OUTBOX_PUBLISHED, OUTBOX_WAITING
from services.chassis.sql import Database
from services.chassis.tables import OUTBOX

BATCH = 100
LOOK_AGAIN = timedelta(seconds=5)
"""Rows another process committed and did not live to publish wake nobody; they wait no longer than this."""
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_FAREWELL_S = 3.0
_log = structlog.get_logger("xenkeep.outbox")


class _Row(NamedTuple):
    position: int
    message_id: str
    subject: str
    headers: dict[str, str]
    body: bytes


class Outbox:
    """A component, once per process. Several processes on one store only repeat each other, which JetStream
    drops.

    Left after whatever writes, it publishes what they wrote last, if it can be done at once.
    """

    def __init__(self, database: Database, bus: Bus, *, clock: Clock | None = None) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock or SystemClock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._clock.wait(self.flush(), _FAREWELL_S)
        except (XenkeepError, TimeoutError) as error:
            _log.warning("outbox left for the next start", error=str(error) or "no time left")

    async def run(self) -> None:
        """Publish for ever; returns only by cancellation."""
        pause = 0.0
        while True:
            raise_if_cancelled()
            self._database.outbox_written.clear()
            try:
                published = await self.flush()
                pause = 0.0
            except (Unavailable, ResourceExhausted) as error:
                pause = min(max(_FIRST_PAUSE_S, pause * 2), _LONGEST_PAUSE_S)
                _log.warning("outbox waits", reason=error.reason, error=error.message, retry_in_s=pause)
                await self._clock.sleep(pause)
                await self._bus.connected.wait()
                continue
            if not published:
                await self._written()

    async def flush(self) -> int:
        """Publish everything that waits now, oldest first; how many there were. Raises Unavailable."""
        published = 0
        while rows := await self._oldest():
            done: list[int] = []
            try:
                for row in rows:
                    await self._bus.publish(row.subject, row.body, row.headers, row.message_id)
                    done.append(row.position)
            finally:
                await self._forget(done)
            published += len(done)
        return published

    async def _written(self) -> None:
        try:
            await self._clock.wait(self._database.outbox_written.wait(), LOOK_AGAIN.total_seconds())
        except TimeoutError:
            return

    async def _oldest(self) -> list[_Row]:
        columns = OUTBOX.c
        query = select(columns.position, columns.message_id, columns.subject, columns.headers, columns.body)
        async with self._database.read() as look:
            rows = (await look.execute(query.order_by(columns.position).limit(BATCH))).all()
            OUTBOX_WAITING.set(await look.scalar(select(func.count()).select_from(OUTBOX)))
        return [_Row._make(row) for row in rows]

    async def _forget(self, positions: list[int]) -> None:
        if not positions:
            return
        async with self._database.begin() as tx:
            await tx.execute(delete(OUTBOX).where(OUTBOX.c.position.in_(positions)))
        OUTBOX_PUBLISHED.inc(len(positions))
        OUTBOX_WAITING.dec(len(positions))
