"""Snapshots and disks of VMs that went elsewhere while their backup source was open."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import DiskKind, Source, SourceDisk

_MAY_MOVE = "MOVES_NOT_BLOCKED"
_VM_GONE = Notice(
    "VM_LEFT_POOL",
    "The VM was removed or went to another pool while it was backed up. Its restore point has it as it was "
    "at its snapshot.",
)


def followed(source: Source, places: Mapping[str, str]) -> Source:
    """The source with its disks in their new ``places``: UUIDs of snapshots' disks by those they had.

    What they hold is the same, so reading goes on. Nothing starts from a copy: the VM's disk is another one
    there, the next backup of it is full, and the copy goes when the source is closed.
    """
    moved = [disk for disk in source.disks if disk.snapshot_disk_id in places]
    disks = tuple(_moved(disk, places) if disk in moved else disk for disk in source.disks)
    notices = (*source.notices, *(_told(disk, places) for disk in moved))
    return replace(source, disks=disks, notices=notices)


def parted(source: Source, vm_disks: Collection[str]) -> tuple[SourceDisk, ...]:
    """The disks of the source that its VM, which has ``vm_disks`` (UUIDs), has no more, and nothing was told
    of yet."""
    return tuple(
        disk
        for disk in source.disks
        if disk.kind is DiskKind.UNSPECIFIED and not disk.told and disk.disk_id not in vm_disks
    )


def left_behind(source: Source, disk_ids: Mapping[str, bool]) -> Source:
    """The source, having told of disks its VM has no more: UUIDs, and whether each still exists."""
    left = [disk for disk in source.disks if disk.disk_id in disk_ids and not disk.told]
    disks = tuple(replace(disk, lost=True) if disk in left else disk for disk in source.disks)
    notices = (*source.notices, *(_gone(disk, exists=disk_ids[disk.disk_id]) for disk in left))
    return replace(source, disks=disks, notices=notices)


def without_vm(source: Source) -> Source:
    """The source, having told that its VM is gone."""
    told = _VM_GONE in source.notices
    return source if told else replace(source, notices=(*source.notices, _VM_GONE))


def may_move(source: Source, why: str) -> Source:
    """The source, having told that its VM's disks could not be kept where they are."""
    if any(notice.code == _MAY_MOVE for notice in source.notices):
        return source
    told = f"The VM's disks could not be kept from being moved while their snapshot was needed: {why}"
    return replace(source, notices=(*source.notices, Notice(_MAY_MOVE, told)))


def _moved(disk: SourceDisk, places: Mapping[str, str]) -> SourceDisk:
    there = places[disk.snapshot_disk_id]
    return replace(disk, snapshot_disk_id=there, tracked=False, kept=False, moved=True)


def _told(disk: SourceDisk, places: Mapping[str, str]) -> Notice:
    return Notice(
        "SNAPSHOT_MOVED",
        f"Disk {disk.display_name!r} ({disk.disk_id}) was moved to other storage while it was backed up: its "
        f"snapshot is {places[disk.snapshot_disk_id]} there and is read on. The next backup of it is full.",
    )


def _gone(disk: SourceDisk, *, exists: bool) -> Notice:
    told = (
        f"The VM lost disk {disk.display_name!r} ({disk.disk_id}) while it was backed up: it was moved, "
        "replaced or detached. The restore point has it as it was at its snapshot."
    )
    left = (
        " The disk itself exists: a migration that could not end leaves it behind, for a person to look at."
    )
    return Notice("DISK_LEFT_VM", told + left * exists)
