"""Taking and removing snapshots; errors and repeating as in ``ports.pool``."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.memory import Cpu
from services.hypervisor.domain.surroundings import Surroundings
from services.hypervisor.domain.tracking import TrackedDisk, TrackingOutcome
from services.hypervisor.domain.vm import PowerState


@dataclass(frozen=True)
class VmDisk:
    """A disk of a live VM. ``obstacle`` is why it cannot be snapshotted, empty when it can; ``failed``: it
    should be possible, and is not now."""

    configured: ConfiguredDisk
    size_bytes: int
    tracked: bool
    obstacle: str
    sr_display_name: str = ""
    failed: bool = False


@dataclass(frozen=True)
class SuspendImage:
    """The memory in a snapshot: a disk that is read like the others."""

    snapshot_disk_id: str
    sr_id: str
    size_bytes: int
    cpu: Cpu


@dataclass(frozen=True)
class VmShape:
    """What a backup source needs to know of a VM before its snapshot; disks by device, no CDs. ``memory`` is
    that of a snapshot somebody took with it, if it can be read."""

    display_name: str
    disks: tuple[VmDisk, ...]
    interfaces: tuple[ConfiguredInterface, ...]
    memory: SuspendImage | None = None


@dataclass(frozen=True)
class SnapshotDisk:
    """A disk of a snapshot: ``facts.disk_id`` is the live disk, ``snapshot_disk_id`` its snapshot."""

    snapshot_disk_id: str
    device: str
    facts: TrackedDisk


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of ours; ``time`` by the pool's clock. ``quiesced``: the guest was frozen by the pool.
    ``memory`` is there if it was taken with memory."""

    snapshot_vm_id: str
    time: datetime
    power_state: PowerState
    disks: tuple[SnapshotDisk, ...]
    quiesced: bool = False
    memory: SuspendImage | None = None


class Snapshots(Protocol):
    """Taking and removing snapshots of ours. Never touches an object that does not carry our tag."""

    async def shape(self, vm_id: str) -> VmShape:
        """Raises NotFound VM_UNKNOWN; InvalidInput VM_NOT_PROTECTABLE for templates, snapshots, dom0."""
        ...

    async def track(self, disk_id: str) -> TrackingOutcome:
        """Makes the pool track changed blocks of a live disk; a refusal is an outcome, not an error."""
        ...

    async def has_snapshot(self, vm_id: str, source_id: str) -> bool:
        """Whether the snapshot was taken; one that is being taken is waited for."""
        ...

    async def take_snapshot(
        self,
        vm_id: str,
        source_id: str,
        leave_out: Collection[str],
        quiesce: bool = False,
        memory: bool = False,
    ) -> Snapshot:
        """The snapshot tagged with ``source_id``: the one that exists, or a new one without the live disks
        ``leave_out``. Killed at any step, the next call finds what was made.

        ``quiesce`` has the pool freeze the guest for it, which excludes ``leave_out``; raises
        FailedPrecondition QUIESCE_IMPOSSIBLE. ``memory`` has the pool capture the memory of a running or
        suspended VM with its disks, which excludes ``leave_out`` too; raises FailedPrecondition
        MEMORY_IMPOSSIBLE with why in ``metadata["why"]``. A migration is not waited for: raises
        ResourceExhausted VM_MIGRATING. A running VM stands still meanwhile; if the pool
        dies then, it stays suspended.
        """
        ...

    async def find_disks(self, source_id: str) -> dict[str, str]:
        """The disks of a snapshot of ours as it has them now: their UUIDs by device, its memory's too; none
        when it is gone. They are marked as ours again, because a pool that moves them makes them anew."""
        ...

    async def export_configuration(self, vm_id: str, *, own_snapshots: bool = False) -> bytes:
        """The pool's metadata export of the VM, with its snapshots only if they are asked for."""
        ...

    async def snapshot_shape(self, snapshot_id: str) -> VmShape | None:
        """The disks, interfaces and memory of a snapshot somebody took, or None when it is gone. Its disks
        have an obstacle if their data cannot be read."""
        ...

    def archived_snapshots(self, archive: bytes) -> frozenset[str]:
        """UUIDs of the snapshots in an export."""
        ...

    async def surroundings(self, vm_id: str) -> Surroundings:
        """What belongs to a VM beside its own metadata; of a VM that is gone nothing."""
        ...

    async def remove_snapshot(
        self,
        source_id: str,
        keep_tracking: bool,
        lineage: str = "",
        with_data: Collection[str] = (),
        disk_ids: Collection[str] = (),
    ) -> None:
        """Removes everything tagged with ``source_id``; ``disk_ids`` are disks its snapshot may have lost
        sight of. With ``keep_tracking``, they stay as what the next incremental of ``lineage`` starts from,
        if a VM has the live disk still: tracked ones are reduced to their tracking data, those in
        ``with_data`` (UUIDs) stay whole. What was kept before for the same disks and lineage goes, and the
        oldest of other lineages when there are more than a disk may have."""
        ...
