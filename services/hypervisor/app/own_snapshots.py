"""Snapshots that somebody took of a VM: saved with it if the policy says so, each restored as a VM.

They are read where they are and never marked: what becomes of them is their owner's business. One that goes
while it is read fails the backup; the next one is without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.chassis.errors import FailedPrecondition, InvalidInput
from services.hypervisor.app.disk_plans import Planned, live_bases, memory_disk, memory_of, read_whole
from services.hypervisor.app.preparing import candidate
from services.hypervisor.domain import tracking
from services.hypervisor.domain.configuration import Configuration, ConfiguredDisk, SavedSnapshot
from services.hypervisor.domain.disk_rules import choose
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import DiskKind, Source, SourceDisk, unchanging
from services.hypervisor.domain.surroundings import OwnSnapshot, own_device
from services.hypervisor.domain.target import Mode, Placement, TargetDisk
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.snapshots import VmDisk


@dataclass(frozen=True)
class Saved:
    """What goes into the point of a VM's own snapshots."""

    described: tuple[OwnSnapshot, ...]
    configured: tuple[SavedSnapshot, ...] = ()
    plans: tuple[Planned, ...] = ()
    notices: tuple[Notice, ...] = ()


async def saved(
    connection: PoolConnection, source: Source, snapshots: tuple[OwnSnapshot, ...], archive: bytes
) -> Saved:
    """Those that ``archive`` tells of and whose disks can be read."""
    told = connection.archived_snapshots(archive)
    done = Saved(())
    for each in snapshots:
        shape = await connection.snapshot_shape(each.snapshot_id) if each.snapshot_id in told else None
        if shape is None:
            continue  # gone since it was listed
        rules = choose(source.options.disks, [candidate(disk) for disk in shape.disks])
        disks = [disk for disk in shape.disks if disk.configured.disk_id not in rules.left_out]
        if obstacle := next((disk for disk in disks if disk.obstacle), None):
            done = _described_only(done, each, obstacle)
            continue
        whole = len(disks) == len(shape.disks)  # memory goes with all of them only
        image = shape.memory if whole else None
        sizes = {_placed(each, disk.configured): disk.size_bytes for disk in disks}
        if image is not None:
            sizes[_placed(each, memory_disk(image))] = image.size_bytes
        configured = SavedSnapshot(
            snapshot_id=each.snapshot_id,
            display_name=each.display_name,
            disks=tuple(sizes),
            interfaces=shape.interfaces,
            memory=await memory_of(connection, source.vm_id, image),
            with_memory=each.with_memory,
        )
        plans = [await _plan(connection, source, each, disk, size) for disk, size in sizes.items()]
        done = replace(
            done,
            described=(*done.described, replace(each, saved=True, memory_saved=image is not None)),
            configured=(*done.configured, configured),
            plans=(*done.plans, *plans),
        )
    return done


def chosen(connection: PoolConnection, configured: Configuration, placement: Placement) -> Configuration:
    """What a restore is about: the VM alone, or one of its own snapshots as a VM. Raises InvalidInput
    SNAPSHOT_OVER_ORIGINAL, FailedPrecondition SNAPSHOT_NOT_IN_POINT."""
    wanted = placement.own_snapshot_id
    if not wanted:
        if not configured.own_snapshots:
            return configured
        return replace(configured, archive=connection.part_of(configured.archive, ""))
    if placement.mode is Mode.ORIGINAL:
        raise InvalidInput(
            "A snapshot is not put back over the VM it was taken of.",
            reason="SNAPSHOT_OVER_ORIGINAL",
            hint="Restore it as a new VM; or restore the VM itself over the original.",
        )
    for each in configured.own_snapshots:
        if each.snapshot_id == wanted:
            return replace(
                configured,
                vm_display_name=each.display_name,
                disks=tuple(_at_its_place(each, disk) for disk in each.disks),
                interfaces=each.interfaces,
                archive=connection.part_of(configured.archive, wanted),
                appliance_id="",
                memory=each.memory,
            )
    names = ", ".join(f"{each.display_name!r} ({each.snapshot_id})" for each in configured.own_snapshots)
    raise FailedPrecondition(
        f"The restore point of VM {configured.vm_display_name!r} does not hold the data of its snapshot "
        f"{wanted}.",
        reason="SNAPSHOT_NOT_IN_POINT",
        hint=f"Choose one of {names}." if names else "Choose a point of a policy with own_snapshots: save.",
    )


def without_memory(configured: Configuration, placement: Placement) -> Iterator[Notice]:
    """That a VM is made of a checkpoint whose memory the point does not have."""
    for each in configured.own_snapshots:
        if each.snapshot_id == placement.own_snapshot_id and each.with_memory and each.memory is None:
            told = (
                f"The snapshot {each.display_name!r} was taken with memory, which is not in the restore "
                "point: the VM starts anew, and its disks are as after a power cut."
            )
            yield Notice("MEMORY_NOT_RESTORED", told)


def of(configured: Configuration, disks: tuple[TargetDisk, ...]) -> tuple[TargetDisk, ...]:
    """Of a point's disks those that ``configured`` is about."""
    ids = {disk.disk_id for disk in configured.disks}
    return tuple(disk for disk in disks if disk.disk_id in ids)


def _described_only(done: Saved, snapshot: OwnSnapshot, disk: VmDisk) -> Saved:
    told = (
        f"The data of the VM's own snapshot {snapshot.display_name!r} was not saved: its disk "
        f"{disk.configured.display_name!r} ({disk.configured.disk_id}) cannot be read: {disk.obstacle}."
    )
    notices = (*done.notices, Notice("SNAPSHOT_NOT_SAVED", told))
    return replace(done, described=(*done.described, snapshot), notices=notices)


def _placed(snapshot: OwnSnapshot, disk: ConfiguredDisk) -> ConfiguredDisk:
    return replace(disk, device=own_device(snapshot.snapshot_id, disk.device))


def _at_its_place(snapshot: SavedSnapshot, disk: ConfiguredDisk) -> ConfiguredDisk:
    return replace(disk, device=disk.device.removeprefix(own_device(snapshot.snapshot_id, "")))


async def _plan(
    connection: PoolConnection, source: Source, snapshot: OwnSnapshot, disk: ConfiguredDisk, size_bytes: int
) -> Planned:
    """Read once: later points take it over."""
    base = next((each.tracking_ref for each in source.bases if each.disk_id == disk.disk_id), "")
    known = base == unchanging(disk.disk_id)
    full = None if known else tracking.no_base(source.asked, others_have_bases=bool(live_bases(source)))
    reads = not known and size_bytes > 0
    allocated = await connection.allocated_blocks(disk.disk_id) if reads else ""
    allocation = allocated if isinstance(allocated, bytes) else None
    planned = SourceDisk(
        disk_id=disk.disk_id,
        snapshot_disk_id=disk.disk_id,
        device=disk.device,
        display_name=f"{disk.display_name} ({snapshot.display_name})",
        size_bytes=size_bytes,
        tracked=False,
        full_reason=full.reason if full else FullReason.UNSPECIFIED,
        full_reason_message=full.message if full else "",
        base_size_bytes=size_bytes if known else 0,
        changed_bytes=0 if known else size_bytes,
        allocation_known=allocation is not None,
        base_tracking_ref=base if known else "",
        kind=DiskKind.OWN_SNAPSHOT,
    )
    return Planned(planned, allocation, tuple(read_whole(planned, allocated)))
