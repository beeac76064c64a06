"""``ports.care`` of the pool in memory. Tests change what is said here as a storage manager would."""

from collections.abc import Collection

from services.chassis.clock import Clock
from services.chassis.errors import NotFound
from services.chassis.ids import IdSource
from services.hypervisor.adapters.memory_objects import MemoryObjects
from services.hypervisor.domain.care import Moves, SnapshotFacts
from services.hypervisor.domain.vm import PowerState


class MemoryCare(MemoryObjects):
    """``facts`` by VM; a VM without any is fit for a snapshot. ``blocks`` are (VM, operation) -> source, with
    a name that is no UUID for somebody else's. ``moving`` are VMs whose disks are being moved."""

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        super().__init__(clock, ids)
        self.facts: dict[str, SnapshotFacts] = {}
        self.blocks: dict[tuple[str, str], str] = {}
        self.moving: set[str] = set()

    async def snapshot_facts(self, vm_id: str, leave_out: Collection[str]) -> SnapshotFacts:
        if vm_id not in self.vms:
            raise NotFound(f"There is no VM {vm_id}.", reason="VM_UNKNOWN")
        return self.facts.get(vm_id, SnapshotFacts((), ()))

    async def reading_hosts(self) -> frozenset[str]:
        return frozenset({"host-1"})

    async def block_migrations(self, vm_id: str, source_id: str, moves: Moves) -> None:
        for operation in ("pool_migrate", "migrate_send")[moves is Moves.OF_DISKS :]:
            if vm_id in self.vms:
                self.blocks.setdefault((vm_id, operation), source_id)

    async def is_off(self, vm_id: str) -> bool:
        return vm_id in self.vms and self.vms[vm_id].power_state is PowerState.HALTED

    async def allow_migrations(self, vm_id: str, source_id: str) -> None:
        self.blocks = {key: by for key, by in self.blocks.items() if (key[0], by) != (vm_id, source_id)}

    async def moves_disks(self, vm_id: str) -> bool:
        return vm_id in self.moving

    async def migration_blocks(self) -> frozenset[tuple[str, str]]:
        return frozenset((vm_id, by) for (vm_id, _), by in self.blocks.items() if by.count("-") == 4)
