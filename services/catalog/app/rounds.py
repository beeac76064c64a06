"""Reads repositories when that is wished for."""

from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from services.catalog.app.syncing import Syncing
from services.catalog.ports import Changes, Ear
from services.chassis.clock import Clock
from services.chassis.errors import ResourceExhausted, Unavailable

PAUSE_S = 2.0
LOOK_EVERY = timedelta(seconds=5)
_log = structlog.get_logger("xenkeep.catalog")


class SyncRounds:
    """A component. While the store is Unavailable or full it tries again every PAUSE_S seconds, and
    logs so."""

    def __init__(self, syncing: Syncing, changes: Changes, clock: Clock) -> None:
        self._syncing, self._changes, self._clock = syncing, changes, clock

    async def run(self) -> None:
        """Never returns."""
        prepared = False
        with self._changes.listen() as ear:
            while True:
                try:
                    if not prepared:
                        await self._syncing.prepare()
                        prepared = True
                    again = await self._syncing.round()
                except (Unavailable, ResourceExhausted) as error:
                    _log.warning("sync worker waits", reason=error.reason, detail=str(error), in_s=PAUSE_S)
                    await self._clock.sleep(PAUSE_S)
                    continue
                await self._until(again, ear)

    async def _until(self, again: datetime | None, ear: Ear) -> None:
        seconds = LOOK_EVERY.total_seconds()
        if again is not None:
            seconds = min(seconds, (again - self._clock.now()).total_seconds())
        if seconds > 0:
            with suppress(TimeoutError):
                await self._clock.wait(ear.next(), seconds)
