"""``ports.leavings`` of the pool in memory."""

from datetime import datetime

from services.hypervisor.adapters.memory_objects import MemoryObjects
from services.hypervisor.ports.leavings import Leftovers


class MemoryLeavings(MemoryObjects):
    """What of ours is there although nobody uses it."""

    async def leftovers(self) -> Leftovers:
        disks = [disk for disk in self.disks.values() if disk.lineage is None]
        vms = self.vms.values()
        sources = frozenset([*(vm.source_id for vm in vms), *(disk.source_id for disk in disks)]) - {""}
        targets = frozenset([*(vm.target_id for vm in vms), *(disk.target_id for disk in disks)]) - {""}
        return Leftovers(sources, targets, sources | targets)

    async def remove_orphans(self) -> int:
        orphans = [
            disk
            for disk in self.disks.values()
            if disk.lineage is not None and disk.snapshot_of not in self.disks
        ]
        for disk in orphans:
            del self.disks[disk.disk_id]
        return len(orphans)

    async def remove_stale(self, tracking_before: datetime, data_before: datetime) -> tuple[str, ...]:
        stale = [
            disk
            for disk in self.disks.values()
            if disk.lineage is not None and disk.taken < (data_before if disk.data_kept else tracking_before)
        ]
        for disk in stale:
            del self.disks[disk.disk_id]
        return tuple(disk.snapshot_of for disk in stale)
