"""The restore points of a repository."""

from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidInput,
    NotFound,
)
from services.mover.repository.context import Context
from services.mover.repository.format.lease import REVOCATION_BYTES, is_revocation
from services.mover.repository.format.names import POINTS, point_name
from services.mover.repository.format.point import Disk, RestorePoint, decode_body
from services.mover.repository.format.stream import StreamRef


def listed_points(context: Context) -> list[str]:
    """Ids of all committed points, sorted. Names that were revoked are no points."""
    return sorted(
        stored.name.removeprefix(POINTS)
        for stored in context.store.list(POINTS)
        if stored.size != REVOCATION_BYTES or not is_revoked(context, stored.name)
    )


def read_point(context: Context, point_id: str) -> RestorePoint:
    """Raises NotFound, or DataLoss when the point object is damaged."""
    name = point_name(point_id)
    try:
        public, body = context.objects.get("point", name)
    except NotFound:
        raise missing_point(point_id) from None
    except DataLoss:
        if is_revoked(context, name):
            raise missing_point(point_id) from None
        raise
    _take_segments(context, public.get("segments"))
    return decode_body(body, name)


def read_base(context: Context, base_point: str) -> RestorePoint:
    """Raises FailedPrecondition when it cannot be one."""
    try:
        return read_point(context, base_point)
    except (NotFound, DataLoss) as error:
        raise FailedPrecondition(
            f"Point {base_point} cannot be the base of an incremental: {error.message}",
            reason="BASE_POINT_UNUSABLE",
            hint="Take a full backup.",
            metadata={"point": base_point},
        ) from error


def read_disk(context: Context, point_id: str, disk_id: str) -> Disk:
    """Raises NotFound, DataLoss, or InvalidInput when the point has no such disk."""
    point = read_point(context, point_id)
    disk = point.disk(disk_id)
    if disk is None:
        raise InvalidInput(
            f"Restore point {point_id} has no disk {disk_id}.",
            reason="DISK_MISSING",
            hint=f"It has: {', '.join(d.disk_id for d in point.disks) or 'none'}.",
        )
    return disk


def read_stream_ref(context: Context, point_id: str, name: str) -> StreamRef:
    """Raises DataLoss, or NotFound, also when the point has no such stream."""
    point = read_point(context, point_id)
    ref = point.streams.get(name)
    if ref is None:
        raise NotFound(
            f"Restore point {point_id} has no stream {name!r}.",
            reason="STREAM_MISSING",
            hint=f"It has: {', '.join(sorted(point.streams)) or 'none'}.",
        )
    return ref


def require_new(context: Context, point_id: str) -> None:
    """Raises AlreadyExists when the point is there, Aborted when nobody may make it any more."""
    name = point_name(point_id)
    if not exists(context, name):
        return
    if is_revoked(context, name):
        raise Aborted(
            f"Nobody may make point {point_id} any more: its writer did not show itself for too long while"
            " the repository was pruned.",
            reason="POINT_REVOKED",
            hint="Start the backup again.",
            metadata={"point": point_id},
        )
    context.store.settle(POINTS)  # whoever made it may have died just before, and it will be relied on
    raise AlreadyExists(
        f"Restore point {point_id} exists already.",
        reason="POINT_EXISTS",
        hint="If this is a retry, the first try succeeded.",
        metadata={"point": point_id},
    )


def require_still_there(context: Context, point_id: str) -> None:
    """Raises Aborted when the point was deleted: what is missing of it is no damage then."""
    if not exists(context, point_name(point_id)):
        raise Aborted(
            f"Restore point {point_id} was deleted while it was read.",
            reason="POINT_DELETED",
            hint="Take it back out of the trash if it is still there, or choose another restore point.",
            metadata={"point": point_id},
        )


def exists(context: Context, name: str) -> bool:
    try:
        context.store.size(name)
    except NotFound:
        return False
    return True


def is_revoked(context: Context, name: str) -> bool:
    """Whether the name of a point is taken by a revocation, or that of a record of a deletion by one."""
    try:
        if context.store.size(name) != REVOCATION_BYTES:
            return False
        data = context.store.get(name)
    except NotFound:
        return False
    keys = context.keys
    return is_revocation(keys.revocation_key, keys.repository_id, name, data)


def missing_point(point_id: str) -> NotFound:
    return NotFound(
        f"There is no restore point {point_id}.",
        reason="POINT_MISSING",
        hint="List the points of this repository.",
        metadata={"point": point_id},
    )


def _take_segments(context: Context, names: object) -> None:
    """Index segments a late listing may not show. One that is gone was merged into another."""
    for name in names if isinstance(names, list) else ():
        try:
            context.take_segment(bytes.fromhex(str(name)))
        except NotFound:
            continue
        except (DataLoss, ValueError) as error:
            context.on_notice("INDEX_SEGMENT_UNREADABLE", f"index/{name}: {error} Rebuild the index.")
