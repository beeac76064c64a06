"""Looking at runs and stopping them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from services.chassis.clock import Clock
from services.chassis.errors import FailedPrecondition, NotFound
from services.scheduler.app.record import record
from services.scheduler.app.rounds import next_change
from services.scheduler.domain.run import Run, cancel
from services.scheduler.ports import Changes, Ledger, Work

SHORTEST_PREFIX = 8
LOOK_EVERY_S = 2.0
"""A change made by another instance of the scheduler rings no bell here."""


class RunBook:
    """What can be done with runs that exist."""

    def __init__(self, ledger: Ledger, changes: Changes, clock: Clock) -> None:
        self._ledger, self._changes, self._clock = ledger, changes, clock

    async def get(self, reference: str) -> Run:
        """By its id or the first 8 or more characters of it. Raises NotFound RUN_NOT_FOUND,
        FailedPrecondition RUN_ID_AMBIGUOUS.
        """
        async with self._ledger.reading() as work:
            return await _find(work, reference)

    async def page(self, before: tuple[datetime, str] | None, size: int) -> Sequence[Run]:
        """Newest first, without their tasks."""
        async with self._ledger.reading() as work:
            return await work.runs.page(before, size)

    async def cancel(self, reference: str) -> Run:
        """Raises as ``get``, and FailedPrecondition RUN_ENDED."""
        async with self._ledger.writing() as work:
            run = await _find(work, reference)
            after = cancel(run, self._clock.now())
            await record(work, run, after)
        return after

    async def watch(self, reference: str) -> AsyncIterator[Run]:
        """The run now and whenever it has changed, to its end. Raises as ``get``."""
        with self._changes.listen() as ear:
            last = await self.get(reference)
            yield last
            while not last.state.ended:
                await next_change(ear, self._clock, LOOK_EVERY_S)
                run = await self.get(last.run_id)
                if run != last:
                    last = run
                    yield run


async def _find(work: Work, reference: str) -> Run:
    run = await work.runs.get(reference)
    if run is None and len(reference) >= SHORTEST_PREFIX:
        found = await work.runs.ids_starting_with(reference)
        if len(found) > 1:
            raise FailedPrecondition(
                f"More than one run has an id that begins with {reference}.",
                reason="RUN_ID_AMBIGUOUS",
                hint="Give more of the id.",
            )
        run = await work.runs.get(found[0]) if found else None
    if run is None:
        raise NotFound(
            f"There is no run {reference}.",
            reason="RUN_NOT_FOUND",
            hint="List the runs to see their ids.",
            metadata={"run": reference},
        )
    return run
