"""A look at what became of the disks of an open source while they were read.

Reading goes on at the old place as long as it can, so that nobody who reads notices what happens to the VM.
"""

from services.hypervisor.app.following import Following
from services.hypervisor.domain.motion import left_behind, parted, without_vm
from services.hypervisor.domain.source import Source
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import SourceStore


class Reviewing:
    """One question to the pool, and more only when a disk is not where it was."""

    def __init__(self, store: SourceStore, following: Following) -> None:
        self._store = store
        self._following = following

    async def review(self, connection: PoolConnection, source: Source) -> Source:
        """The source with all there is to tell of it, each thing once; as it is when nothing was opened."""
        if not source.disks:
            return source
        attached = await connection.attached_disks(source.vm_id)
        if attached is None:
            return await self._store.revise(source.source_id, without_vm)
        there = {disk.disk_id for disk in attached}
        if not parted(source, there):
            return source
        source = await self._following.follow(connection, source)
        left = {
            disk.disk_id: await connection.tracked_disk(disk.disk_id) is not None
            for disk in parted(source, there)
        }
        return await self._store.revise(source.source_id, lambda now: left_behind(now, left))
