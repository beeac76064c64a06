"""Snapshots whose disks the pool moved to other storage while they were open."""

from collections.abc import Mapping
from dataclasses import replace

from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import Source, SourceDisk


def followed(source: Source, places: Mapping[str, str]) -> Source:
    """The source with its disks in their new ``places``: UUIDs of snapshots' disks by those they had.

    What they hold is the same, so reading goes on. Nothing starts from a copy: the VM's disk is another one
    there, the next backup of it is full, and the copy goes when the source is closed.
    """
    moved = [disk for disk in source.disks if disk.snapshot_disk_id in places]
    disks = tuple(_moved(disk, places) if disk in moved else disk for disk in source.disks)
    notices = (*source.notices, *(_told(disk, places) for disk in moved))
    return replace(source, disks=disks, notices=notices)


def _moved(disk: SourceDisk, places: Mapping[str, str]) -> SourceDisk:
    return replace(disk, snapshot_disk_id=places[disk.snapshot_disk_id], tracked=False, kept=False)


def _told(disk: SourceDisk, places: Mapping[str, str]) -> Notice:
    return Notice(
        "SNAPSHOT_MOVED",
        f"Disk {disk.display_name!r} ({disk.disk_id}) was moved to other storage while it was backed up: its "
        f"snapshot is {places[disk.snapshot_disk_id]} there and is read on. The next backup of it is full.",
    )
