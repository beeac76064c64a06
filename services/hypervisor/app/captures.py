"""Taking the snapshot of a backup source as its method and options say, and leaving the VM as it was found.

What is done to a VM is stored as an intervention first. Killed at any step, the next opening, the closing
or the janitor puts right what is owed: a VM that was shut down runs again, one that a checkpoint left
suspended goes on, a frozen guest thaws, and hooks for afterwards are called. A snapshot that is not what
was asked for is removed, so that the next opening starts from the beginning.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import structlog

from services.chassis.errors import Aborted, FailedPrecondition, Unavailable, XenkeepError
from services.hypervisor.app.capture_rules import assert_possible, why_no_memory
from services.hypervisor.app.freezing import DOWNGRADED, IMPOSSIBLE, Freezing
from services.hypervisor.app.hook_calls import HOOK_FAILED, HookCalls
from services.hypervisor.app.owed import Owed, nothing
from services.hypervisor.app.steps import Passed, nobody
from services.hypervisor.app.together import Alone, Turn
from services.hypervisor.domain import memory
from services.hypervisor.domain.capture import Hook, MemoryWish, Moment, Offline
from services.hypervisor.domain.intervention import Intervention
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import Consistency, Source, consistency_of
from services.hypervisor.domain.vm import Method, PowerState
from services.hypervisor.ports.guests import Guest, GuestAgents, Hooks
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.snapshots import Snapshot
from services.hypervisor.ports.stores import InterventionStore

__all__ = ["HOOK_FAILED", "Captures", "Taken"]
_MEMORY_DOWNGRADED = "MEMORY_DOWNGRADED"
_ALONE = Alone()

_log = structlog.get_logger()


@dataclass(frozen=True)
class Taken:
    """A snapshot, what it guarantees, and what a person should know of how it was taken."""

    snapshot: Snapshot
    consistency: Consistency
    notices: tuple[Notice, ...]


class Captures:
    """Takes and settles. A source is handled by one caller at a time."""

    def __init__(
        self, store: InterventionStore, hooks: Hooks, agents: GuestAgents, passed: Passed = nobody
    ) -> None:
        self._owed = Owed(store)
        self._hooks = HookCalls(self._owed, hooks, passed)
        self._freezing = Freezing(self._owed, agents, passed)
        self._passed = passed

    async def take(
        self,
        connection: PoolConnection,
        source: Source,
        hooks: tuple[Hook, ...],
        leave_out: Collection[str],
        turn: Turn = _ALONE,
    ) -> Taken:
        """Raises FailedPrecondition SHUTDOWN_IMPOSSIBLE, SHUTDOWN_REFUSED, VM_BAD_POWER_STATE,
        QUIESCE_IMPOSSIBLE, QUIESCE_INCOMPLETE, MEMORY_IMPOSSIBLE, HOOK_FAILED; Aborted VM_STARTED_MEANWHILE,
        SNAPSHOT_NOT_QUIESCED, SNAPSHOT_WITHOUT_MEMORY, FREEZE_BROKEN, GROUP_BROKEN; what the pool raises."""
        if await connection.has_snapshot(source.vm_id, source.source_id):
            snapshot = await connection.take_snapshot(source.vm_id, source.source_id, leave_out)
        else:
            guest = await connection.guest(source.vm_id)
            assert_possible(source, guest, leave_out)
            await self._begin(source, guest, hooks)
            try:
                await self._hooks.before(source, hooks)
                if source.method is Method.OFFLINE:
                    await self._shut_down(connection, source, source.options.offline or Offline())
                    self._passed("open:off")
                await turn.prepared()
                snapshot = await self._snapshot(connection, source, guest, leave_out, turn)
            except XenkeepError:
                await self._settle_if_possible(connection, source)
                raise
        self._passed("open:snapshot")
        try:
            await turn.ready()
            await turn.taken()
            await self._freezing.thaw(source)
            await self._assert_as_asked(source, snapshot)
        except Aborted:
            await self._settle_if_possible(connection, source)
            await connection.remove_snapshot(source.source_id, keep_tracking=False)
            raise
        await self._settle_after_snapshot(connection, source)
        self._passed("open:settled")
        done = await self._owed.of(source)
        return Taken(snapshot, _consistency(snapshot, done), done.notices)

    async def settle(self, connection: PoolConnection, source: Source, *, keep_off: bool) -> None:
        """Does what is owed: thaws, resumes and starts the VM (unless ``keep_off``), then calls hooks.

        Raises FailedPrecondition HOOK_FAILED after the snapshot has been removed; what the pool raises, and
        then the start is owed still.
        """
        try:
            await self._wake(connection, source, keep_off)
        finally:
            await self._hooks.after(connection, source)

    async def finish(self, source: Source, *, committed: bool) -> None:
        """The backup has ended, and nothing is owed any more."""
        await self._freezing.finish(source, committed=committed)
        await self._owed.forget(source.source_id)

    async def _begin(self, source: Source, guest: Guest, hooks: tuple[Hook, ...]) -> None:
        """Notes what will be owed. A VM that an earlier attempt shut down is owed its start still."""
        before = await self._owed.noted(source)
        runs = guest.power_state is PowerState.RUNNING
        intervention = replace(
            before or nothing(source),
            start_owed=(runs and source.method is Method.OFFLINE)
            or (before is not None and before.start_owed),
            resume_owed=(runs and source.method is Method.MEMORY)
            or (before is not None and before.resume_owed),
            host_id=guest.host_id or (before.host_id if before else ""),
            hooks_owed=tuple(hook for hook in hooks if hook.moment is Moment.AFTER_SNAPSHOT),
            frozen=False,
            freeze_broken=False,
            notices=(),
        )
        if before is not None or intervention.start_owed or intervention.resume_owed or hooks:
            await self._owed.note(intervention)
            self._passed("open:owed")

    async def _shut_down(self, connection: PoolConnection, source: Source, offline: Offline) -> None:
        why_not = await connection.ask_to_shut_down(source.vm_id, offline.deadline_s)
        if not why_not:
            return
        if not offline.force:
            raise FailedPrecondition(
                f"VM {source.vm_id} did not shut down for its backup: {why_not}.",
                reason="SHUTDOWN_REFUSED",
                hint="Look at the guest and its tools, give it more time, or let the policy switch it off.",
            )
        await connection.switch_off(source.vm_id)
        told = f"The VM was switched off for its backup: {why_not}."
        await self._owed.tell(source, Notice("VM_SWITCHED_OFF", told))

    async def _snapshot(
        self,
        connection: PoolConnection,
        source: Source,
        guest: Guest,
        leave_out: Collection[str],
        turn: Turn,
    ) -> Snapshot:
        quiesce = source.method is Method.QUIESCED and guest.power_state is not PowerState.HALTED
        taken: Snapshot | None = None
        if quiesce:
            taken = await self._quiesced(connection, source, guest, leave_out, turn)
        elif source.method is Method.MEMORY:
            taken = await self._with_memory(connection, source, guest, leave_out, turn)
        if taken is not None:
            return taken
        await turn.ready()
        return await connection.take_snapshot(source.vm_id, source.source_id, leave_out)

    async def _quiesced(
        self,
        connection: PoolConnection,
        source: Source,
        guest: Guest,
        leave_out: Collection[str],
        turn: Turn,
    ) -> Snapshot | None:
        """By the pool; otherwise None, the guest being frozen by its agent, or the point going to say so."""
        why_not = guest.quiesce_obstacle
        if not why_not and leave_out:
            why_not = "disks are left out of the backup, and the pool quiesces for all of them only"
        if not why_not:
            await turn.ready()
            try:
                return await connection.take_snapshot(source.vm_id, source.source_id, (), quiesce=True)
            except FailedPrecondition as error:
                if error.reason != IMPOSSIBLE:
                    raise
                why_not = error.message.rstrip(".")
        await self._freezing.freeze(source, why_not)
        return None

    async def _with_memory(
        self,
        connection: PoolConnection,
        source: Source,
        guest: Guest,
        leave_out: Collection[str],
        turn: Turn,
    ) -> Snapshot | None:
        """None when it cannot be had and need not, and the point is going to say so."""
        wish = source.options.memory or MemoryWish()
        why_not = why_no_memory(guest, wish, leave_out)
        if not why_not:
            await turn.ready()
            try:
                return await connection.take_snapshot(source.vm_id, source.source_id, (), memory=True)
            except FailedPrecondition as error:
                if error.reason != memory.IMPOSSIBLE or wish.required:
                    raise
                why_not = error.metadata.get("why", error.message.rstrip("."))
            await self._wake(connection, source, keep_off=False)
        told = f"The VM was captured without its memory: {why_not}."
        await self._owed.tell(source, Notice(_MEMORY_DOWNGRADED, told))
        return None

    async def _assert_as_asked(self, source: Source, snapshot: Snapshot) -> None:
        await self._freezing.assert_held(source)
        done = await self._owed.of(source)
        downgraded = any(notice.code in (DOWNGRADED, _MEMORY_DOWNGRADED) for notice in done.notices)
        crash = _consistency(snapshot, done) is Consistency.CRASH
        if not crash or source.method is Method.NORMAL or downgraded:
            return
        told, reason = {
            Method.QUIESCED: (
                "The pool took a snapshot of VM {} that was not quiesced.",
                "SNAPSHOT_NOT_QUIESCED",
            ),
            Method.MEMORY: (
                "The pool took a snapshot of VM {} without its memory.",
                "SNAPSHOT_WITHOUT_MEMORY",
            ),
            Method.OFFLINE: ("Somebody started VM {} before its snapshot was taken.", "VM_STARTED_MEANWHILE"),
        }[source.method]
        raise Aborted(told.format(source.vm_id), reason=reason, hint="Try again.")

    async def _settle_after_snapshot(self, connection: PoolConnection, source: Source) -> None:
        offline = source.options.offline or Offline()
        stays_off = source.method is Method.OFFLINE and offline.stay_off
        try:
            await self._wake(connection, source, keep_off=stays_off)
        except Unavailable:
            raise
        except XenkeepError as error:
            told = f"The VM was stopped for its backup and does not run again yet. {error}"
            await self._owed.tell(source, Notice("VM_NOT_STARTED", told))
        await self._hooks.after(connection, source)
        if stays_off and (await connection.guest(source.vm_id)).power_state is not PowerState.HALTED:
            told = "The VM was on again before everything had been read; its snapshot is of when it was off."
            await self._owed.tell(source, Notice("VM_STARTED_EARLY", told))

    async def _settle_if_possible(self, connection: PoolConnection, source: Source) -> None:
        """On the way out of a failure that says more than one of these would; the janitor does the rest."""
        try:
            await self.settle(connection, source, keep_off=False)
        except XenkeepError as error:
            _log.warning("owed to a VM", source=source.source_id, reason=error.reason, detail=str(error))

    async def _wake(self, connection: PoolConnection, source: Source, keep_off: bool) -> None:
        await self._freezing.thaw(source)
        done = await self._owed.of(source)
        if done.resume_owed:
            await connection.resume_again(source.vm_id, done.host_id)
            done = replace(done, resume_owed=False)
            await self._owed.note(done)
        if done.start_owed and not keep_off:
            await connection.start_again(source.vm_id, done.host_id)
            self._passed("settle:started")
            await self._owed.note(replace(done, start_owed=False))


def _consistency(snapshot: Snapshot, done: Intervention) -> Consistency:
    plain = consistency_of(snapshot.power_state)
    if plain is Consistency.POWERED_OFF:
        return plain
    if snapshot.memory is not None:
        return Consistency.MEMORY
    if snapshot.quiesced or (done.frozen and done.applications):
        return Consistency.APPLICATION
    return Consistency.FILESYSTEM if done.frozen else plain
