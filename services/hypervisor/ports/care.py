"""What is asked of a pool and done in it so that a backup does not hurt it: parts of ``PoolConnection``."""

from collections.abc import Collection
from typing import Protocol

from services.hypervisor.domain.care import Moves, SnapshotFacts


class Storage(Protocol):
    """The state of the storage below a VM."""

    async def snapshot_facts(self, vm_id: str, leave_out: Collection[str]) -> SnapshotFacts:
        """What a snapshot of the VM without the live disks ``leave_out`` would meet now. Raises NotFound
        VM_UNKNOWN."""
        ...

    async def reading_hosts(self) -> frozenset[str]:
        """The live hosts that may serve disks."""
        ...


class Migrations(Protocol):
    """Keeping a VM where it is. Somebody else's block is never touched."""

    async def block_migrations(self, vm_id: str, source_id: str, moves: Moves) -> None:
        """Blocks what of ``moves`` is not blocked yet, in the name of a backup source; what is under way goes
        on. Nothing happens to a VM that is gone."""
        ...

    async def is_off(self, vm_id: str) -> bool:
        """Whether a VM is off now; one that is gone is not."""
        ...

    async def allow_migrations(self, vm_id: str, source_id: str) -> None:
        """Takes the blocks of that source off; a VM that is gone has none."""
        ...

    async def moves_disks(self, vm_id: str) -> bool:
        """Whether disks of the VM are being moved to other storage, or to another pool; of a VM that is gone
        none are."""
        ...

    async def migration_blocks(self) -> frozenset[tuple[str, str]]:
        """(VM, backup source) of every block this installation has in the pool."""
        ...
