"""Who the mover works with: the hypervisor service, and the disks it offers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from services.mover.domain import Extent
from services.mover.domain.capture import FullReason, Method, Remark
from services.mover.domain.placement import Placement
from services.mover.domain.source import Base, Source, Target
from services.mover.ports import BlockSource, BlockTarget


class Hypervisor(Protocol):
    """Opens VMs for reading and places for writing. All verbs may be repeated: an id that is known already
    is answered with what it stands for, whatever else the call says.

    Raises what the service said, Unavailable when it does not answer.
    """

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
        """``lineage`` names the chain of points that goes on: what is kept for others is left alone.

        FailedPrecondition SOURCE_CLOSED when a source of that id has been closed."""
        ...

    def extents(self, source: str, disk_id: str) -> AsyncIterator[Extent]:
        """What has to be read, ascending."""
        ...

    async def review_source(self, source: str) -> Sequence[Remark]:
        """Everything that is to be told of an open source by now, of its opening and since.

        FailedPrecondition SOURCE_CLOSED when it is not open any more."""
        ...

    async def close_source(self, source: str, *, committed: bool) -> Sequence[Remark]:
        """Everything there is to tell of it in the end. NotFound when there never was one."""
        ...

    async def prepare_target(
        self,
        target_id: str,
        placement: Placement,
        vm_configuration: bytes,
        disks: Sequence[tuple[str, int, str]],
    ) -> Target:
        """``disks`` are (disk id, size in bytes, name).

        FailedPrecondition TARGET_ABORTED when a target of that id has been aborted.
        """
        ...

    async def commit_target(self, target: str) -> Target:
        """FailedPrecondition DISK_NOT_WRITTEN, or Aborted, when a disk has to be written again."""
        ...

    async def abort_target(self, target: str) -> None:
        """NotFound when there never was one; FailedPrecondition RESTORE_COMMITTED when the VM exists."""
        ...


class ReadableDisk(BlockSource, Protocol):
    """A disk that says how far it had come when a connection to it was last lost. Its notices have what was
    told of its source, too, whenever it was asked where the disk is."""

    @property
    def resumed_from_bytes(self) -> int:
        """Bytes that were read before the last loss and not again after it; 0 without a loss."""
        ...


class Disks(Protocol):
    """Connects to the disks of open sources and targets. The disks themselves are used from threads."""

    async def sources(self, source: Source, connections: int) -> Mapping[str, ReadableDisk]:
        """Every disk of the source by its id, to be read over so many connections each."""
        ...

    async def targets(self, target: Target, frame_bytes: int) -> Mapping[str, BlockTarget]:
        """Every disk of the target by its id, for one pass over all of them.

        Asking again makes void what was written before, on all disks: a disk of which a pass was cut cannot
        be begun again alone. ``frame_bytes`` is a power of two from 4,096: pieces may begin and end on its
        multiples.
        """
        ...
