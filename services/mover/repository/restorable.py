"""Whether a point can be restored, as far as is known."""

from collections.abc import Collection

from services.chassis.errors import DataLoss
from services.mover.repository.context import Context
from services.mover.repository.points import read_point
from services.mover.repository.restore import require_readable
from services.mover.repository.streamreader import require_stream


def require_restorable(context: Context, point_id: str, disk_ids: Collection[str] | None = None) -> None:
    """Raises DataLoss naming what is lost when a disk or stream is known not to be restorable.

    With ``disk_ids`` these disks are looked at, and no stream.
    """
    point = read_point(context, point_id)
    for disk in point.disks:
        if disk_ids is None or disk.disk_id in disk_ids:
            require_readable(context, point_id, disk, context.disk_map(disk))
    for ref in point.streams.values() if disk_ids is None else ():
        require_stream(context.reader, context.index, ref)


def known_damage(context: Context, point_id: str, disk_ids: Collection[str] | None = None) -> str:
    """What is known to keep the point, or these disks of it, from being restored; empty when nothing is.

    Reads the point; walks its maps only while some pack is known to be damaged. Raises NotFound.
    """
    try:
        if context.index.has_damage():
            require_restorable(context, point_id, disk_ids)
        else:
            read_point(context, point_id)
    except DataLoss as error:
        return error.message
    return ""
