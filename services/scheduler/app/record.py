"""Keep a run and tell what follows from its change."""

from services.scheduler.domain.facts import facts_of
from services.scheduler.domain.run import Run
from services.scheduler.ports import Work


async def record(work: Work, before: Run | None, after: Run) -> None:
    """Nothing is written when nothing changed."""
    if before == after:
        return
    await work.runs.put(after)
    for fact in facts_of(before, after):
        await work.tell(fact)
