"""``ports.readers`` of the pool in memory."""

from services.chassis.config import Secret
from services.hypervisor.adapters.memory_objects import BLOCK_BYTES, MemoryDisk, MemoryObjects
from services.hypervisor.domain.differences import Layers
from services.hypervisor.domain.tracking import TrackedDisk
from services.hypervisor.ports.readers import NbdEndpoint


class MemoryReaders(MemoryObjects):
    """Compares the maps."""

    async def tracked_disk(self, snapshot_disk_id: str) -> TrackedDisk | None:
        disk = self.disks.get(snapshot_disk_id)
        return self._facts(disk) if disk is not None else None

    async def changed_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        base, new = self.disks.get(base_disk_id), self.disks.get(snapshot_disk_id)
        if base is None or new is None or not (base.tracked and new.tracked):
            return "Source and target VDI are unrelated"
        return _differences(base, new)

    async def allocated_blocks(self, snapshot_disk_id: str) -> bytes | str:
        disk = self.disks.get(snapshot_disk_id)
        if disk is None:
            return "the snapshot is gone"
        if disk.unread:
            return disk.unread
        bitmap = bytearray((disk.size_bytes // BLOCK_BYTES + 7) // 8)
        for block in disk.blocks:
            bitmap[block // 8] |= 0x80 >> block % 8
        return bytes(bitmap)

    async def layers(self, snapshot_disk_id: str) -> Layers | None:
        disk = self.disks.get(snapshot_disk_id)
        return Layers(disk.parents, disk.data_kept, len(disk.blocks) * BLOCK_BYTES) if disk else None

    async def differing_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        base, new = self.disks.get(base_disk_id), self.disks.get(snapshot_disk_id)
        if base is None or new is None or not base.data_kept:
            return "the snapshot to compare with is gone"
        return _differences(base, new)

    async def nbd_endpoints(self, snapshot_disk_ids: tuple[str, ...]) -> dict[str, tuple[NbdEndpoint, ...]]:
        return {
            disk: (NbdEndpoint("host-1", "host-1", 10809, Secret(f"/{disk}"), "", ""),)
            if disk in self.disks and self.disks[disk].data_kept
            else ()
            for disk in snapshot_disk_ids
        }


def _differences(base: MemoryDisk, new: MemoryDisk) -> bytes:
    bitmap = bytearray((new.size_bytes // BLOCK_BYTES + 7) // 8)
    for block in base.blocks.keys() | new.blocks.keys():
        if base.blocks.get(block) != new.blocks.get(block):
            bitmap[block // 8] |= 0x80 >> block % 8
    return bytes(bitmap)
