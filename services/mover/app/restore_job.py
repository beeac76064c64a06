"""The parts of a restore that run in threads."""

from dataclasses import dataclass, field

from services.chassis.errors import FailedPrecondition
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.domain import Extent
from services.mover.domain.point import AssetKind
from services.mover.ports import BlockTarget
from services.mover.repository import VM_CONFIGURATION, Progress, Repository, RestoreOptions, RestorePoint


@dataclass(frozen=True, slots=True)
class Prepared:
    """A point that can be restored, as far as is known, and its VM's configuration (a secret)."""

    point: RestorePoint
    configuration: bytes = field(repr=False)


def prepared(repository: Repository, point_id: str) -> Prepared:
    """Raises NotFound; FailedPrecondition POINT_NOT_A_VM; DataLoss when the point is known to be damaged."""
    point = repository.get_point(point_id)
    if point.asset.get("kind", AssetKind.VM) != AssetKind.VM:
        raise FailedPrecondition(
            f"Restore point {point_id} is no VM: it cannot be put into a pool.",
            reason="POINT_NOT_A_VM",
            hint=f"Write it into a directory: `xenkeep point export {point_id[:8]} --to DIRECTORY`.",
        )
    repository.require_restorable(point_id)
    return Prepared(point, b"".join(repository.read_stream(point_id, VM_CONFIGURATION)))


def write_disk(
    repository: Repository,
    point_id: str,
    disk_id: str,
    writer: BlockTarget,
    options: RestoreOptions,
    board: Board,
    stop: Cancellation,
) -> None:
    """One pass over one disk; the writer is of no use afterwards."""

    def listen(progress: Progress) -> None:
        board.moved(disk_id, total=progress.total, read=progress.read)

    stop.when_wanted(writer.abort)
    extents = [Extent(found.offset, found.length) for found in repository.data_extents(point_id, disk_id)]
    board.expect(disk_id, sum(extent.length for extent in extents))
    try:
        writer.begin(extents)
        repository.restore_disk(
            point_id, disk_id, writer, options=options, listener=listen, cancel=stop.event
        )
        writer.finish()
    finally:
        writer.abort()
