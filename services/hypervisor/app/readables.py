"""What to read of an open backup source, and where."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.chassis.errors import NotFound, Unavailable
from services.hypervisor.app.following import Following
from services.hypervisor.domain.extents import Extent, changed_extents
from services.hypervisor.domain.source import Source
from services.hypervisor.domain.source_rules import snapshot_gone
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.readers import NbdEndpoint
from services.hypervisor.ports.stores import SourceStore


@dataclass(frozen=True)
class Readable:
    """An open source, the VM's configuration, and where each disk can be read now (by live disk's UUID)."""

    source: Source
    configuration: bytes
    endpoints: dict[str, tuple[NbdEndpoint, ...]]


class Readables:
    """Sources as a mover has to see them."""

    def __init__(self, store: SourceStore, following: Following) -> None:
        self._store = store
        self._following = following

    async def readable(self, connection: PoolConnection, source: Source) -> Readable:
        """Raises FailedPrecondition SNAPSHOT_GONE, Unavailable NBD_NOWHERE."""
        endpoints = await _endpoints(connection, source)
        if not all(endpoints[disk.snapshot_disk_id] for disk in source.disks):
            source = await self._following.follow(connection, source)
            endpoints = await _endpoints(connection, source)
        for disk in source.disks:
            if endpoints.get(disk.snapshot_disk_id) or source.options.skips_failed_disks:
                continue
            if await connection.tracked_disk(disk.snapshot_disk_id) is None:
                raise snapshot_gone(f"disk {disk.display_name!r} ({disk.disk_id})")
            raise Unavailable(
                f"No live host can serve disk {disk.display_name!r} ({disk.disk_id}) by NBD now.",
                reason="NBD_NOWHERE",
                hint="Check that its storage repository is plugged in on a host with an NBD network.",
            )
        return Readable(
            source=source,
            configuration=await self._store.configuration(source.source_id),
            endpoints={disk.disk_id: endpoints.get(disk.snapshot_disk_id, ()) for disk in source.disks},
        )

    async def extents(self, source: Source, disk_id: str) -> Iterator[Extent]:
        """What has to be read of a disk, ascending. Raises NotFound DISK_UNKNOWN."""
        disk = next((disk for disk in source.disks if disk.disk_id == disk_id), None)
        if disk is None:
            raise NotFound(
                f"Backup source {source.source_id} has no disk {disk_id}.",
                reason="DISK_UNKNOWN",
                hint="Ask for one of the disks it lists.",
            )
        if disk.unchanged:
            return iter(())
        if not disk.extents_known:
            return iter([Extent(0, disk.size_bytes)] if disk.size_bytes else [])
        bitmap = await self._store.bitmap(source.source_id, disk_id)
        known = disk.base_size_bytes if disk.incremental else disk.size_bytes
        return changed_extents(bitmap, disk.size_bytes, known)


async def _endpoints(connection: PoolConnection, source: Source) -> dict[str, tuple[NbdEndpoint, ...]]:
    """By snapshot's disk."""
    return await connection.nbd_endpoints(tuple(disk.snapshot_disk_id for disk in source.disks))
