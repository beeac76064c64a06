"""Whether a transfer's point is there already."""

import contextlib

from services.chassis.errors import AlreadyExists, NotFound
from services.mover.repository import Repository, RestorePoint


def committed(repository: Repository, point_id: str) -> RestorePoint | None:
    """The point that an earlier attempt committed; what was kept to resume it is forgotten."""
    try:
        point = repository.get_point(point_id)
    except NotFound:
        return None
    with contextlib.suppress(AlreadyExists):  # this is how the engine forgets the checkpoint of a point
        repository.begin_backup(point_id, transfer_id=point_id).abort()
    return point
