"""Restore targets: making disks to write, and a VM of them.

What is left when killed, and who goes on:

- while preparing: tagged disks; preparing again finds them, aborting removes them.
- while committing, before the import: the original untouched except that it may be off; committing goes on.
- between import and removal of the old disks: the new VM complete and tagged, the old disks beside it,
  attached to nothing; committing (or the janitor by itself) goes on. Nothing of the original is removed
  before the new VM has been seen to have every restored disk.
"""

from dataclasses import replace

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    XenkeepError,
)
from services.hypervisor.app import gpu_restores, memory_restores, own_snapshots
from services.hypervisor.app.making_disks import MakingDisks
from services.hypervisor.app.making_vms import MakingVms
from services.hypervisor.app.pools import Pools
from services.hypervisor.app.steps import Locks, Ongoing, Passed, nobody
from services.hypervisor.domain.configuration import unpack
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.restore_rules import assert_alive, assert_known, not_restored, wanted
from services.hypervisor.domain.target import (
    Mode,
    Placement,
    Target,
    TargetDisk,
    TargetState,
    replaced_disks,
)
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.restores import WriteEndpoint
from services.hypervisor.ports.stores import TargetStore

WriteEndpoints = dict[str, tuple[WriteEndpoint, ...]]
"""By disk: where to write it, and where else when that host cannot be reached."""

_log = structlog.get_logger()


class Targets:
    """Prepares, commits and aborts; ``passed`` is told each step that is done."""

    def __init__(self, store: TargetStore, pools: Pools, clock: Clock, passed: Passed = nobody) -> None:
        self._store = store
        self._pools = pools
        self._clock = clock
        self._passed = passed
        self._locks = Locks()
        self._ongoing = Ongoing()
        self._disks = MakingDisks(store, passed)
        self._vms = MakingVms(store, passed)

    async def prepare(
        self, target_id: str, placement: Placement, configuration: bytes, disks: tuple[TargetDisk, ...]
    ) -> tuple[Target, WriteEndpoints]:
        """Makes the disks; (target, where to write each disk). Raises InvalidInput TARGET_ID_TAKEN,
        DISK_UNKNOWN, VM_CONFIGURATION_INVALID; FailedPrecondition TARGET_ABORTED; what
        ``memory_restores``, ``MakingDisks`` and the pool raise."""
        connection = self._pools.connection(placement.pool_id)
        everything = unpack(configuration)
        assert_known(everything, disks)
        configured = own_snapshots.chosen(connection, everything, placement)
        disks = own_snapshots.of(configured, disks)
        chosen = memory_restores.choose(configured, placement, disks)
        disks = chosen.disks
        async with self._locks.of(target_id):
            if await self._store.get(target_id) is None:
                await memory_restores.assert_restorable(connection, configured, placement, chosen)
                memory = memory_restores.image(configured, chosen.disks)
                await gpu_restores.assert_resumable(connection, configured, memory)
            asked_for = Target(
                target_id=target_id,
                placement=placement,
                state=TargetState.PREPARING,
                created=self._clock.now(),
                disks=disks,
                original_vm_id=configured.vm_id,
                notices=(
                    *not_restored(configured, disks),
                    *chosen.notices,
                    *own_snapshots.without_memory(everything, placement),
                ),
            )
            target = await self._store.add(asked_for, configuration)
            self._passed("prepare:recorded")
            if target.placement != placement or wanted(target.disks) != wanted(disks):
                raise InvalidInput(
                    f"The id {target_id} is that of another restore.",
                    reason="TARGET_ID_TAKEN",
                    hint="Choose a new UUID for each restore.",
                )
            assert_alive(target)
            if target.state is TargetState.PREPARING:
                target = await self._disks.make(connection, target, configured)
            return await self._writable(connection, target)

    async def get(self, pool_id: str, target_id: str) -> tuple[Target, WriteEndpoints]:
        """With write endpoints that are valid now; what was written before no longer counts."""
        async with self._locks.of(target_id):
            target = await self._existing(pool_id, target_id)
            return await self._writable(self._pools.connection(pool_id), target)

    async def commit(self, pool_id: str, target_id: str) -> Target:
        """Raises Aborted when a disk is not written completely, FailedPrecondition TARGET_ABORTED and
        TARGET_NOT_PREPARED; what the pool raises."""
        return await self._ongoing.join(f"commit {target_id}", lambda: self._commit(pool_id, target_id))

    async def _commit(self, pool_id: str, target_id: str) -> Target:
        async with self._locks.of(target_id):
            target = await self._existing(pool_id, target_id)
            assert_alive(target)
            if target.state is TargetState.PREPARING:
                raise FailedPrecondition(
                    f"Restore target {target_id} has not been prepared completely.",
                    reason="TARGET_NOT_PREPARED",
                    hint="Prepare it again with the same id.",
                )
            if target.state is TargetState.COMMITTED:
                return target
            connection = self._pools.connection(pool_id)
            if target.state is TargetState.PREPARED:
                target = await self._assert_written(connection, target)
                target = await self._decide(connection, target)
            return await self._complete(connection, target)

    async def abort(self, pool_id: str, target_id: str) -> None:
        """Raises FailedPrecondition RESTORE_COMMITTED when the VM exists already."""
        await self._ongoing.join(f"abort {target_id}", lambda: self._abort(pool_id, target_id))

    async def _abort(self, pool_id: str, target_id: str) -> None:
        async with self._locks.of(target_id):
            target = await self._existing(pool_id, target_id)
            if target.state is TargetState.ABORTED:
                return
            connection = self._pools.connection(pool_id)
            if target.state is not TargetState.ABORTING:
                await self._assert_revocable(connection, target)
                target = await self._save(replace(target, state=TargetState.ABORTING))
                self._passed("abort:recorded")
            for disk in target.disks:
                if disk.new_disk_id:
                    await connection.drop_tickets(disk.new_disk_id)
            await connection.remove_target(target_id)
            self._passed("abort:removed")
            await self._save(replace(target, state=TargetState.ABORTED))

    async def note_written(self, pool_id: str, target_id: str) -> None:
        """Remembers which disks are written, before the pool forgets."""
        async with self._locks.of(target_id):
            target = await self._existing(pool_id, target_id)
            if target.state is TargetState.PREPARED:
                try:
                    await self._assert_written(self._pools.connection(pool_id), target)
                except XenkeepError as error:
                    _log.info("not all disks are written", restore=target_id, reason=error.reason)

    async def _existing(self, pool_id: str, target_id: str) -> Target:
        target = await self._store.get(target_id)
        if target is None or target.placement.pool_id != pool_id:
            raise NotFound(
                f"There is no restore target {target_id} in pool {pool_id}.",
                reason="TARGET_UNKNOWN",
                hint="Prepare one.",
            )
        return target

    async def _save(self, target: Target) -> Target:
        await self._store.save(target)
        return target

    async def _writable(self, connection: PoolConnection, target: Target) -> tuple[Target, WriteEndpoints]:
        """Fresh tickets: one that was used may still be completed by a writer that was given up."""
        if target.state is not TargetState.PREPARED:
            return target, {}
        endpoints: WriteEndpoints = {}
        disks = []
        for disk in target.disks:
            ticket = await connection.open_ticket(disk.new_disk_id)
            disks.append(replace(disk, ticket=ticket, written=False))
            endpoints[disk.disk_id] = await connection.write_endpoints(disk.new_disk_id, ticket)
        return await self._save(replace(target, disks=tuple(disks))), endpoints

    async def _assert_written(self, connection: PoolConnection, target: Target) -> Target:
        for index, disk in enumerate(target.disks):
            if disk.written:
                continue
            if not await connection.ticket_state(disk.ticket):
                raise Aborted(
                    f"Disk {disk.display_name!r} ({disk.disk_id}) has not been written completely.",
                    reason="DISK_NOT_WRITTEN",
                    hint="Finish writing every disk, then commit.",
                )
            disks = (*target.disks[:index], replace(disk, written=True), *target.disks[index + 1 :])
            target = await self._save(replace(target, disks=disks))
        return target

    async def _decide(self, connection: PoolConnection, target: Target) -> Target:
        """Notes which disks of the original will be replaced, while it still has them, and which GPUs the
        pool cannot give."""
        stored = unpack(await self._store.configuration(target.target_id))
        configured = own_snapshots.chosen(connection, stored, target.placement)
        if target.placement.mode is Mode.ORIGINAL:
            attached = await connection.attached_disks(target.original_vm_id)
            restored = {disk.disk_id for disk in target.disks}
            devices = frozenset(disk.device for disk in configured.disks if disk.disk_id in restored)
            replaced, notices = replaced_disks(attached or (), frozenset(restored), devices)
            target = replace(
                target,
                replacing=attached is not None,
                disks_to_remove=replaced,
                notices=(*target.notices, *notices),
            )
        target = await gpu_restores.decided(connection, configured, target)
        target = await self._save(replace(target, state=TargetState.COMMITTING))
        self._passed("commit:recorded")
        return target

    async def _complete(self, connection: PoolConnection, target: Target) -> Target:
        if not target.vm_id:
            target = await self._vms.make(connection, target)
        await connection.release(target.target_id, target.vm_id)
        self._passed("commit:released")
        notices = list(target.notices)
        for kept in await connection.remove_replaced(target.disks_to_remove):
            told = f"The replaced disk {kept} was kept: another VM uses it."
            notices.append(Notice("DISK_KEPT_IN_USE", told))
        self._passed("commit:replaced_removed")
        if target.placement.start:
            try:
                await connection.start_vm(target.vm_id)
            except XenkeepError as error:
                if error.kind == "Unavailable":
                    raise
                notices.append(Notice("VM_NOT_STARTED", f"The VM was restored but did not start. {error}"))
        for disk in target.disks:
            await connection.drop_tickets(disk.new_disk_id)
        return await self._save(
            replace(target, state=TargetState.COMMITTED, notices=tuple(dict.fromkeys(notices)))
        )

    async def _assert_revocable(self, connection: PoolConnection, target: Target) -> None:
        made = bool(target.vm_id) or target.state is TargetState.COMMITTED
        if target.state is TargetState.COMMITTING and not made and target.placement.mode is Mode.ORIGINAL:
            gone = target.replacing and await connection.attached_disks(target.original_vm_id) is None
            made = gone or await connection.find_vm(target.target_id) is not None
        if made:
            raise FailedPrecondition(
                f"Restore {target.target_id} has made its VM already.",
                reason="RESTORE_COMMITTED",
                hint="Commit it to the end; remove the VM in the pool if it is not wanted.",
            )
