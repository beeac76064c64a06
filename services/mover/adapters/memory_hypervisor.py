"""A hypervisor service with one VM in memory: holds to the law of ``Hypervisor`` and ``Disks``."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.chassis.errors import FailedPrecondition, NotFound
from services.mover.adapters.memory_disk import MemoryDisk
from services.mover.domain import Extent
from services.mover.domain.capture import Consistency, FullReason, Level, Method, Remark
from services.mover.domain.names import source_name, target_name, vm_ids
from services.mover.domain.placement import Placement
from services.mover.domain.source import Base, Source, SourceDisk, Target, TargetDisk
from services.mover.ports.neighbours import ReadableDisk

BLOCK = 65_536


class MemorySnapshotDisk(MemoryDisk):
    """Never loses a connection."""

    @property
    def resumed_from_bytes(self) -> int:
        return 0


@dataclass
class MemoryHypervisor:
    """``disks`` are the VM's by id. Each snapshot is kept for incrementals, as if for ever."""

    disks: dict[str, bytearray]
    sources: dict[str, Source] = field(default_factory=dict)
    closed: dict[str, bool] = field(default_factory=dict)
    """Source to whether a point was committed."""
    targets: dict[str, Target] = field(default_factory=dict)
    aborted: set[str] = field(default_factory=set)
    written: dict[str, dict[str, MemoryDisk]] = field(default_factory=dict)
    configurations: dict[str, bytes] = field(default_factory=dict)
    happened: tuple[Remark, ...] = ()
    """What is told of every source after it was opened."""
    happened_late: tuple[Remark, ...] = ()
    """What is told when it is closed, too."""
    untold: frozenset[int] = frozenset()
    """Offsets of blocks whose changes the tracking does not tell."""
    _snapshots: dict[str, bytes] = field(default_factory=dict)
    """Tracking ref to content."""

    async def open_source(
        self,
        source_id: str,
        vm: str,
        method: Method,
        bases: Sequence[Base],
        reason: FullReason,
        options: bytes = b"",
        group: bytes = b"",
        lineage: str = "",
    ) -> Source:
        pool, _ = vm_ids(vm)
        name = source_name(pool, source_id)
        if name in self.closed:
            raise FailedPrecondition(f"{name} was closed.", reason="SOURCE_CLOSED")
        if name not in self.sources:
            given = {base.disk_id: base.tracking_ref for base in bases}
            moment = datetime(2026, 1, 1, 0, 0, len(self.sources) + len(self.closed), tzinfo=UTC)
            disks = tuple(
                self._snapshot(source_id, number, disk_id, given.get(disk_id, ""), reason)
                for number, disk_id in enumerate(self.disks)
            )
            self.sources[name] = Source(
                name=name,
                vm=vm,
                vm_display_name="web",
                pool_display_name="lab",
                method=method,
                consistency=Consistency.CRASH,
                snapshot_time=moment,
                vm_configuration=b"<vm name='web'/>",
                disks=disks,
                notices=(),
            )
        return self.sources[name]

    async def extents(self, source: str, disk_id: str) -> AsyncIterator[Extent]:
        disk = self._disk(source, disk_id)
        now, before = self._snapshots[disk.tracking_ref], self._snapshots[disk.base_tracking_ref]
        for offset in range(0, len(now), BLOCK):
            if offset not in self.untold and now[offset : offset + BLOCK] != before[offset : offset + BLOCK]:
                yield Extent(offset, min(BLOCK, len(now) - offset))

    async def review_source(self, source: str) -> Sequence[Remark]:
        if source in self.closed:
            raise FailedPrecondition(f"{source} was closed.", reason="SOURCE_CLOSED")
        return self.happened

    async def close_source(self, source: str, *, committed: bool) -> Sequence[Remark]:
        if source not in self.closed:
            if source not in self.sources:
                raise NotFound(f"There is no {source}.", reason="SOURCE_UNKNOWN")
            self.closed[source] = committed
        return (*self.happened, *self.happened_late)

    async def prepare_target(
        self,
        target_id: str,
        placement: Placement,
        vm_configuration: bytes,
        disks: Sequence[tuple[str, int, str]],
    ) -> Target:
        name = target_name(placement.pool, target_id)
        if name in self.aborted:
            raise FailedPrecondition(f"{name} was aborted.", reason="TARGET_ABORTED")
        self.configurations[name] = vm_configuration
        made = tuple(TargetDisk(disk_id, size) for disk_id, size, _ in disks)
        return self.targets.setdefault(name, Target(name, made, "", committed=False))

    async def commit_target(self, target: str) -> Target:
        prepared = self.targets[target]
        done = Target(target, prepared.disks, f"{target.split('/restore')[0]}/vms/new", committed=True)
        self.targets[target] = done
        return done

    async def abort_target(self, target: str) -> None:
        if target not in self.targets:
            raise NotFound(f"There is no {target}.", reason="TARGET_UNKNOWN")
        if self.targets[target].committed:
            raise FailedPrecondition(f"{target} has its VM.", reason="RESTORE_COMMITTED")
        self.aborted.add(target)

    def content(self, tracking_ref: str) -> bytes:
        """What a disk was at a snapshot."""
        return self._snapshots[tracking_ref]

    def _snapshot(
        self, source_id: str, number: int, disk_id: str, base: str, reason: FullReason
    ) -> SourceDisk:
        content = bytes(self.disks[disk_id])
        ref = f"{source_id}-{disk_id}"
        self._snapshots[ref] = content
        incremental = base in self._snapshots and len(self._snapshots[base]) <= len(content)
        return SourceDisk(
            disk_id=disk_id,
            device=str(number),
            display_name=f"disk {number}",
            size_bytes=len(content),
            level=Level.INCREMENTAL if incremental else Level.FULL,
            full_reason=FullReason.NONE if incremental else _why_full(reason),
            full_reason_message="",
            tracking_ref=ref,
            extents_known=incremental,
            changed_bytes=len(content),
            base_tracking_ref=base if incremental else "",
        )

    def _disk(self, source: str, disk_id: str) -> SourceDisk:
        return next(disk for disk in self.sources[source].disks if disk.disk_id == disk_id)


def _why_full(asked: FullReason) -> FullReason:
    """Among disks that have a base, one without is new."""
    return FullReason.FIRST_BACKUP if asked == FullReason.NONE else asked


class MemoryDisks:
    """``ports.neighbours.Disks`` of a ``MemoryHypervisor``."""

    def __init__(self, hypervisor: MemoryHypervisor) -> None:
        self._hypervisor = hypervisor

    async def sources(self, source: Source, connections: int) -> Mapping[str, ReadableDisk]:
        hypervisor = self._hypervisor
        return {
            disk.disk_id: MemorySnapshotDisk(hypervisor.content(disk.tracking_ref)) for disk in source.disks
        }

    async def targets(self, target: Target, frame_bytes: int) -> Mapping[str, MemoryDisk]:
        fresh = {
            disk.disk_id: MemoryDisk(bytes(disk.size_bytes), frame_bytes=frame_bytes) for disk in target.disks
        }
        self._hypervisor.written[target.name] = fresh
        return fresh
