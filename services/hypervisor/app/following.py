"""Following snapshots whose disks the pool moves to other storage while they are read.

The pool copies them, under new UUIDs and without our marks; the snapshot itself keeps its own, and shows
the copies. Killed between, the next request finds them the same way.
"""

import structlog

from services.hypervisor.domain.memory import DEVICE
from services.hypervisor.domain.motion import followed
from services.hypervisor.domain.source import Source
from services.hypervisor.domain.surroundings import own_device
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import SourceStore

_log = structlog.get_logger()


class Following:
    """Asks the pool only for what is not where it was."""

    def __init__(self, store: SourceStore) -> None:
        self._store = store

    async def follow(self, connection: PoolConnection, source: Source) -> Source:
        """The source with its disks where they are now; one that is nowhere stays as it was."""
        gone = [disk for disk in source.disks if await connection.tracked_disk(disk.snapshot_disk_id) is None]
        if not gone:
            return source
        there = await self._places(connection, source)
        places = {disk.snapshot_disk_id: there[disk.device] for disk in gone if disk.device in there}
        if not places:
            return source
        _log.warning("snapshots were moved to other storage", source=source.source_id, disks=places)
        return await self._store.revise(source.source_id, lambda now: followed(now, places))

    async def _places(self, connection: PoolConnection, source: Source) -> dict[str, str]:
        """UUIDs of the disks by device, those of the VM's own snapshots too."""
        there = await connection.find_disks(source.source_id)
        for snapshot in source.vm_snapshots:
            shape = await connection.snapshot_shape(snapshot.snapshot_id) if snapshot.saved else None
            if shape is None:
                continue
            own = {disk.configured.device: disk.configured.disk_id for disk in shape.disks}
            if shape.memory is not None:
                own[DEVICE] = shape.memory.snapshot_disk_id
            there |= {own_device(snapshot.snapshot_id, device): disk_id for device, disk_id in own.items()}
        return there
