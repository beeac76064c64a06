"""Opening a backup source: the guest prepared, the snapshot taken, and what to read of it written down.

Repeated after a crash it finds the snapshot by its name and tag and goes on.
"""

from dataclasses import replace

from services.hypervisor.app import own_snapshots
from services.hypervisor.app.captures import Captures
from services.hypervisor.app.disk_plans import memory_disk, memory_of, plan, plan_memory
from services.hypervisor.app.own_snapshots import Saved
from services.hypervisor.app.preparing import Preparing
from services.hypervisor.app.steps import Passed
from services.hypervisor.app.stillness import Stillness
from services.hypervisor.domain.capture import Hook, OwnSnapshots
from services.hypervisor.domain.configuration import Configuration, pack
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import MissingDisk, Source, SourceState
from services.hypervisor.domain.source_rules import snapshot_gone
from services.hypervisor.domain.surroundings import described_only
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.snapshots import Snapshot, VmShape
from services.hypervisor.ports.stores import SourceStore


class Opening:
    """What happens between a source that is recorded and one that can be read."""

    def __init__(
        self,
        store: SourceStore,
        captures: Captures,
        preparing: Preparing,
        stillness: Stillness,
        passed: Passed,
    ) -> None:
        self._store = store
        self._stillness = stillness
        self._captures = captures
        self._preparing = preparing
        self._passed = passed

    async def open(self, connection: PoolConnection, source: Source, hooks: tuple[Hook, ...]) -> Source:
        """Raises FailedPrecondition SNAPSHOT_GONE, NOTHING_TO_CAPTURE; what ``Preparing.prepare`` and
        ``Captures.take`` raise."""
        if source.group is not None and not await connection.has_snapshot(source.vm_id, source.source_id):
            raise snapshot_gone(f"VM {source.vm_id}")
        prepared = await self._preparing.prepare(connection, source)
        shape, choice = prepared.shape, prepared.choice
        taken = await self._captures.take(connection, source, hooks, prepared.left_out)
        surroundings = await connection.surroundings(source.vm_id)
        saves = source.options.own_snapshots is OwnSnapshots.SAVE and bool(surroundings.snapshots)
        archive = await connection.export_configuration(source.vm_id, own_snapshots=saves)
        own = Saved(surroundings.snapshots)
        if saves:
            own = await own_snapshots.saved(connection, source, surroundings.snapshots, archive)
        images = [taken.snapshot.memory] if taken.snapshot.memory is not None else []
        configuration = Configuration(
            pool_id=source.pool_id,
            vm_id=source.vm_id,
            vm_display_name=shape.display_name,
            disks=(*(disk.configured for disk in shape.disks), *map(memory_disk, images)),
            interfaces=shape.interfaces,
            archive=archive,
            appliance_id=surroundings.appliance_id,
            memory=await memory_of(connection, source.vm_id, taken.snapshot.memory),
            own_snapshots=own.configured,
        )
        self._passed("open:configuration")
        await self._stillness.keep(connection, source)
        self._passed("open:blocked")
        plans = [
            await plan(connection, source, shape, prepared.outcomes, disk) for disk in taken.snapshot.disks
        ]
        plans += [await plan_memory(connection, image) for image in images]
        plans += own.plans
        bitmaps = {each.disk.disk_id: each.bitmap for each in plans if each.bitmap is not None}
        missing = _missing(shape, taken.snapshot, choice.left_out)
        opened = replace(
            source,
            state=SourceState.OPEN,
            vm_display_name=shape.display_name,
            snapshot_vm_id=taken.snapshot.snapshot_vm_id,
            snapshot_time=taken.snapshot.time,
            consistency=taken.consistency,
            disks=tuple(each.disk for each in plans),
            missing_disks=missing,
            vm_snapshots=own.described,
            notices=(
                *taken.notices,
                *choice.notices,
                *_skipped(missing),
                *own.notices,
                *described_only(own.described),
                *(notice for each in plans for notice in each.notices),
            ),
        )
        await self._store.open(opened, pack(configuration), bitmaps)
        self._passed("open:stored")
        return opened


def _missing(shape: VmShape, snapshot: Snapshot, excluded: frozenset[str]) -> tuple[MissingDisk, ...]:
    """Which disks of the VM are not in the snapshot although no rule says so, and why."""
    taken = {disk.facts.disk_id for disk in snapshot.disks} | excluded
    return tuple(
        MissingDisk(
            disk.configured.disk_id,
            disk.configured.device,
            disk.configured.display_name,
            disk.obstacle or "it was attached after the snapshot was taken",
        )
        for disk in shape.disks
        if disk.configured.disk_id not in taken
    )


def _skipped(missing: tuple[MissingDisk, ...]) -> tuple[Notice, ...]:
    return tuple(
        Notice(
            "DISK_SKIPPED",
            f"Disk {disk.display_name!r} ({disk.disk_id}) was not backed up: {disk.message}.",
        )
        for disk in missing
    )
