"""Freezing guests by their agents around a snapshot.

That a guest may be frozen is noted before it is asked; it thaws by itself after ``FREEZE_LIMIT_S`` if
nobody comes. Only what was frozen without a break until it was thawed counts as frozen.
"""

from dataclasses import replace

from services.chassis.errors import Aborted, FailedPrecondition
from services.hypervisor.app.owed import Owed
from services.hypervisor.app.steps import Passed
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import Source
from services.hypervisor.ports.guests import GuestAgents

IMPOSSIBLE = "QUIESCE_IMPOSSIBLE"
INCOMPLETE = "QUIESCE_INCOMPLETE"
DOWNGRADED = "QUIESCE_DOWNGRADED"
FREEZE_LIMIT_S = 60.0
"""VSS writers hold out about as long."""


class Freezing:
    """By agents; ``require`` fails, ``prefer`` tells."""

    def __init__(self, owed: Owed, agents: GuestAgents, passed: Passed) -> None:
        self._owed = owed
        self._agents = agents
        self._passed = passed

    async def freeze(self, source: Source, pool_cannot: str) -> None:
        """Raises FailedPrecondition QUIESCE_IMPOSSIBLE, QUIESCE_INCOMPLETE when it is required."""
        await self._owed.note(replace(await self._owed.of(source), thaw_owed=True))
        self._passed("open:freezing")
        done = await self._agents.freeze(source.pool_id, source.vm_id, source.source_id, FREEZE_LIMIT_S)
        if done.why_not:
            await self._less(source, IMPOSSIBLE, f"it cannot be quiesced: {pool_cannot}; {done.why_not}")
            return
        failed = [f"{part.name} ({part.failed})" for part in done.components if part.failed]
        if failed:
            await self._less(source, INCOMPLETE, f"not all of it was quiesced: {', '.join(failed)}")
        applications = done.applications and not failed
        note = replace(await self._owed.of(source), frozen=True, applications=applications)
        await self._owed.note(note)
        self._passed("open:frozen")

    async def thaw(self, source: Source) -> None:
        """What is owed; safe to repeat. Notes whether the freeze had held."""
        done = await self._owed.of(source)
        if not done.thaw_owed:
            return
        held = await self._agents.thaw(source.pool_id, source.vm_id, source.source_id)
        broken = done.frozen and not held
        await self._owed.note(
            replace(done, thaw_owed=False, frozen=done.frozen and held, freeze_broken=broken)
        )
        self._passed("open:thawed")

    async def assert_held(self, source: Source) -> None:
        """Raises Aborted FREEZE_BROKEN when it is required and had ended before the snapshot was there."""
        if not (await self._owed.of(source)).freeze_broken:
            return
        if _required(source):
            raise Aborted(
                f"VM {source.vm_id} ended its freeze before its snapshot was taken.",
                reason="FREEZE_BROKEN",
                hint="Try again; if it happens often, look at how long snapshots take in this pool.",
            )
        told = "The VM was captured as it ran, because it ended its freeze before the snapshot was taken."
        await self._owed.tell(source, Notice(DOWNGRADED, told))

    async def finish(self, source: Source, *, committed: bool) -> None:
        """Tells a guest that had been frozen what came of it."""
        if (await self._owed.of(source)).frozen:
            await self._agents.finish(source.pool_id, source.vm_id, source.source_id, committed)

    async def _less(self, source: Source, reason: str, why: str) -> None:
        if _required(source):
            raise FailedPrecondition(
                f"VM {source.vm_id} was not backed up, because {why}.",
                reason=reason,
                hint="Use another method, or let the policy prefer quiescing instead of requiring it.",
            )
        code, how = (DOWNGRADED, "as it ran") if reason == IMPOSSIBLE else (INCOMPLETE, "less than asked")
        await self._owed.tell(source, Notice(code, f"The VM was captured {how}, because {why}."))


def _required(source: Source) -> bool:
    return source.options.quiesce_required is not False
