"""Whether a point can be restored, as far as is known."""

from services.chassis.errors import DataLoss
from services.mover.repository.context import Context
from services.mover.repository.points import read_point
from services.mover.repository.restore import require_readable
from services.mover.repository.streamreader import require_stream


def require_restorable(context: Context, point_id: str) -> None:
    """Raises DataLoss naming what is lost when a disk or stream is known not to be restorable."""
    point = read_point(context, point_id)
    for disk in point.disks:
        require_readable(context, point_id, disk, context.disk_map(disk))
    for ref in point.streams.values():
        require_stream(context.reader, context.index, ref)


def known_damage(context: Context, point_id: str) -> str:
    """What is known to keep the point from being restored completely; empty when nothing is.

    Reads the point; walks its maps only while some pack is known to be damaged. Raises NotFound.
    """
    try:
        if context.index.has_damage():
            require_restorable(context, point_id)
        else:
            read_point(context, point_id)
    except DataLoss as error:
        return error.message
    return ""
