"""Who the mover works with: the hypervisor service, and the repositories' engine."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from services.mover.domain import Extent
from services.mover.domain.capture import FullReason, Method
from services.mover.domain.placement import Placement
from services.mover.domain.source import Base, Source, Target
from services.mover.ports import BlockSource, BlockTarget


class Hypervisor(Protocol):
    """Opens VMs for reading and places for writing. All verbs may be repeated.

    Raises what the service said, Unavailable when it does not answer.
    """

    async def open_source(
        self, source_id: str, vm: str, method: Method, bases: Sequence[Base], reason: FullReason
    ) -> Source: ...

    def extents(self, source: str, disk_id: str) -> AsyncIterator[Extent]:
        """What has to be read, ascending."""
        ...

    async def close_source(self, source: str, *, committed: bool) -> None: ...

    async def prepare_target(
        self,
        target_id: str,
        placement: Placement,
        vm_configuration: bytes,
        disks: Sequence[tuple[str, int, str]],
    ) -> Target:
        """``disks`` are (disk id, size in bytes, name)."""
        ...

    async def commit_target(self, target: str) -> Target: ...

    async def abort_target(self, target: str) -> None: ...


class ReadableDisk(BlockSource, Protocol):
    """A disk that says how far it had come when a connection to it was last lost."""

    @property
    def resumed_from_bytes(self) -> int:
        """Bytes that were read before the last loss and not again after it; 0 without a loss."""
        ...


class Disks(Protocol):
    """Connects to disks of open sources and targets; used from threads."""

    def source(self, source: str, disk_id: str, size_bytes: int, connections: int) -> ReadableDisk: ...

    def target(self, target: str, disk_id: str, size_bytes: int) -> BlockTarget: ...
