"""Taking the snapshot of a backup source as its method and options say, and leaving the VM as it was found.

What is done to a VM is stored as an intervention first. Killed at any step, the next opening, the closing or
the janitor puts right what is owed: a VM that was shut down runs again, and hooks for afterwards are called.
A snapshot that is not what was asked for is removed, so that the next opening starts from the beginning.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import structlog

from services.chassis.errors import Aborted, FailedPrecondition, Unavailable, XenkeepError
from services.hypervisor.app.steps import Passed, nobody
from services.hypervisor.domain.capture import Hook, Moment, Offline
from services.hypervisor.domain.intervention import Intervention
from services.hypervisor.domain.names import source_name, vm_name
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import Consistency, Source, consistency_of
from services.hypervisor.domain.vm import Method, PowerState
from services.hypervisor.ports.guests import Guest, GuestAgents, Hooks
from services.hypervisor.ports.pool import PoolConnection, Snapshot
from services.hypervisor.ports.stores import InterventionStore

IMPOSSIBLE = "QUIESCE_IMPOSSIBLE"
_DOWNGRADED = "QUIESCE_DOWNGRADED"
HOOK_FAILED = "HOOK_FAILED"

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
        self._store = store
        self._hooks = hooks
        self._agents = agents
        self._passed = passed

    async def take(
        self, connection: PoolConnection, source: Source, hooks: tuple[Hook, ...], leave_out: Collection[str]
    ) -> Taken:
        """Raises FailedPrecondition SHUTDOWN_IMPOSSIBLE, SHUTDOWN_REFUSED, VM_BAD_POWER_STATE,
        QUIESCE_IMPOSSIBLE, HOOK_FAILED; Aborted VM_STARTED_MEANWHILE, SNAPSHOT_NOT_QUIESCED; what the pool
        raises."""
        if await connection.has_snapshot(source.vm_id, source.source_id):
            snapshot = await connection.take_snapshot(source.vm_id, source.source_id, leave_out)
        else:
            guest = await connection.guest(source.vm_id)
            _assert_possible(source, guest)
            await self._begin(source, guest, hooks)
            try:
                await self._prepare(connection, source, hooks)
                snapshot = await self._snapshot(connection, source, guest, leave_out)
            except XenkeepError:
                await self._settle_if_possible(connection, source)
                raise
        self._passed("open:snapshot")
        await self._assert_as_asked(connection, source, snapshot)
        await self._settle_after_snapshot(connection, source)
        self._passed("open:settled")
        done = await self._intervention(source)
        return Taken(snapshot, _consistency(snapshot, done), done.notices)

    async def settle(self, connection: PoolConnection, source: Source, *, keep_off: bool) -> None:
        """Does what is owed: thaws and starts the VM (unless ``keep_off``), then calls hooks.

        Raises FailedPrecondition HOOK_FAILED after the snapshot has been removed; what the pool raises, and
        then the start is owed still.
        """
        try:
            await self._wake(connection, source, keep_off)
        finally:
            await self._call_after(connection, source)

    async def forget(self, source_id: str) -> None:
        """Nothing is owed any more."""
        await self._store.forget(source_id)

    async def _begin(self, source: Source, guest: Guest, hooks: tuple[Hook, ...]) -> None:
        """Notes what will be owed. A VM that an earlier attempt shut down is owed its start still."""
        before = await self._store.get(source.source_id)
        runs = guest.power_state is PowerState.RUNNING and source.method is Method.OFFLINE
        intervention = replace(
            before or _nothing(source),
            start_owed=runs or (before is not None and before.start_owed),
            host_id=guest.host_id or (before.host_id if before else ""),
            hooks_owed=tuple(hook for hook in hooks if hook.moment is Moment.AFTER_SNAPSHOT),
            frozen=False,
            notices=(),
        )
        if before is not None or intervention.start_owed or hooks:
            await self._store.save(intervention)
            self._passed("open:owed")

    async def _prepare(self, connection: PoolConnection, source: Source, hooks: tuple[Hook, ...]) -> None:
        for hook in hooks:
            if hook.moment is Moment.BEFORE_SNAPSHOT and (wrong := await self._call(source, hook)):
                raise wrong
        if source.method is Method.OFFLINE:
            await self._shut_down(connection, source, source.options.offline or Offline())
            self._passed("open:off")

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
        await self._tell(
            source, Notice("VM_SWITCHED_OFF", f"The VM was switched off for its backup: {why_not}.")
        )

    async def _snapshot(
        self, connection: PoolConnection, source: Source, guest: Guest, leave_out: Collection[str]
    ) -> Snapshot:
        if source.method is Method.QUIESCED and guest.power_state is not PowerState.HALTED:
            why_not = guest.quiesce_obstacle
            if not why_not and leave_out:
                why_not = "disks are left out of the backup, and the pool quiesces for all of them only"
            if not why_not:
                try:
                    return await connection.take_snapshot(source.vm_id, source.source_id, (), quiesce=True)
                except FailedPrecondition as error:
                    if error.reason != IMPOSSIBLE:
                        raise
                    why_not = error.message.rstrip(".")
            await self._freeze(source, why_not)
        return await connection.take_snapshot(source.vm_id, source.source_id, leave_out)

    async def _freeze(self, source: Source, pool_cannot: str) -> None:
        """By an agent; if there is none that can, the backup fails or the point is going to say so."""
        await self._store.save(replace(await self._intervention(source), thaw_owed=True))
        why_not = await self._agents.freeze(source.pool_id, source.vm_id)
        if not why_not:
            await self._store.save(replace(await self._intervention(source), frozen=True))
            return
        if source.options.quiesce_required is not False:
            raise FailedPrecondition(
                f"VM {source.vm_id} cannot be quiesced: {pool_cannot}; {why_not}.",
                reason=IMPOSSIBLE,
                hint="Use another method, or let the policy prefer quiescing instead of requiring it.",
            )
        told = f"The VM was captured as it ran, because it cannot be quiesced: {pool_cannot}; {why_not}."
        await self._tell(source, Notice(_DOWNGRADED, told))

    async def _assert_as_asked(self, connection: PoolConnection, source: Source, snapshot: Snapshot) -> None:
        done = await self._intervention(source)
        downgraded = any(notice.code == _DOWNGRADED for notice in done.notices)
        crash = _consistency(snapshot, done) is Consistency.CRASH
        if not crash or source.method is Method.NORMAL or downgraded:
            return
        await self._settle_if_possible(connection, source)
        await connection.remove_snapshot(source.source_id, keep_tracking=False)
        if source.method is Method.QUIESCED:
            told, reason = "The pool took a snapshot of VM {} that was not quiesced.", "SNAPSHOT_NOT_QUIESCED"
        else:
            told, reason = "Somebody started VM {} before its snapshot was taken.", "VM_STARTED_MEANWHILE"
        raise Aborted(told.format(source.vm_id), reason=reason, hint="Try again.")

    async def _settle_after_snapshot(self, connection: PoolConnection, source: Source) -> None:
        offline = source.options.offline or Offline()
        stays_off = source.method is Method.OFFLINE and offline.stay_off
        try:
            await self._wake(connection, source, keep_off=stays_off)
        except Unavailable:
            raise
        except XenkeepError as error:
            told = f"The VM was shut down for its backup and has not started again yet. {error}"
            await self._tell(source, Notice("VM_NOT_STARTED", told))
        await self._call_after(connection, source)
        if stays_off and (await connection.guest(source.vm_id)).power_state is not PowerState.HALTED:
            told = "The VM was on again before everything had been read; its snapshot is of when it was off."
            await self._tell(source, Notice("VM_STARTED_EARLY", told))

    async def _settle_if_possible(self, connection: PoolConnection, source: Source) -> None:
        """On the way out of a failure that says more than one of these would; the janitor does the rest."""
        try:
            await self.settle(connection, source, keep_off=False)
        except XenkeepError as error:
            _log.warning("owed to a VM", source=source.source_id, reason=error.reason, detail=str(error))

    async def _wake(self, connection: PoolConnection, source: Source, keep_off: bool) -> None:
        done = await self._intervention(source)
        if done.thaw_owed:
            await self._agents.thaw(source.pool_id, source.vm_id)
            done = replace(done, thaw_owed=False)
            await self._store.save(done)
        if done.start_owed and not keep_off:
            await connection.start_again(source.vm_id, done.host_id)
            self._passed("settle:started")
            await self._store.save(replace(done, start_owed=False))

    async def _call_after(self, connection: PoolConnection, source: Source) -> None:
        owed = (await self._intervention(source)).hooks_owed
        if not owed:
            return
        wrong = [error for hook in owed if (error := await self._call(source, hook))]
        if wrong:
            await connection.remove_snapshot(source.source_id, keep_tracking=False)
        await self._store.save(replace(await self._intervention(source), hooks_owed=()))
        self._passed("settle:hooks")
        if wrong:
            raise wrong[0]

    async def _call(self, source: Source, hook: Hook) -> FailedPrecondition | None:
        """The error of a hook that may not fail."""
        body = {
            "vm": vm_name(source.pool_id, source.vm_id),
            "moment": hook.moment.value,
            "source": source_name(source.pool_id, source.source_id),
        }
        wrong = await self._hooks.call(hook, body)
        if not wrong:
            return None
        moment = hook.moment.value.lower().replace("_", " the ")
        told = f"The hook at {hook.host} {moment} failed: {wrong}."
        if hook.optional:
            await self._tell(source, Notice(HOOK_FAILED, told))
            return None
        return FailedPrecondition(
            told, reason=HOOK_FAILED, hint="Look at that server, or make the hook optional in the policy."
        )

    async def _tell(self, source: Source, notice: Notice) -> None:
        done = await self._intervention(source)
        await self._store.save(replace(done, notices=done.told(notice)))

    async def _intervention(self, source: Source) -> Intervention:
        return await self._store.get(source.source_id) or _nothing(source)


def _nothing(source: Source) -> Intervention:
    return Intervention(source.source_id, source.pool_id, source.vm_id)


def _consistency(snapshot: Snapshot, done: Intervention) -> Consistency:
    plain = consistency_of(snapshot.power_state)
    if plain is Consistency.POWERED_OFF:
        return plain
    if snapshot.quiesced:
        return Consistency.APPLICATION
    return Consistency.FILESYSTEM if done.frozen else plain


def _assert_possible(source: Source, guest: Guest) -> None:
    """Before anything is done. A VM that is off needs neither a shutdown nor quiescing."""
    if source.method is not Method.OFFLINE or guest.power_state is PowerState.HALTED:
        return
    if guest.power_state is not PowerState.RUNNING:
        raise FailedPrecondition(
            f"VM {guest.display_name!r} is {guest.power_state.value.lower()} and cannot be shut down.",
            reason="VM_BAD_POWER_STATE",
            hint="Resume it or shut it down, or use the method normal.",
        )
    force = source.options.offline is not None and source.options.offline.force
    if guest.shutdown_obstacle and not force:
        raise FailedPrecondition(
            f"VM {guest.display_name!r} cannot be shut down cleanly: {guest.shutdown_obstacle}.",
            reason="SHUTDOWN_IMPOSSIBLE",
            hint="Install or start its guest tools, or let the policy switch it off.",
        )
