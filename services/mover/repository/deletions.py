"""Records of deleted points, where a deletion only hides (docs/repository-format.md, section 17).

Whoever has stolen the credentials of such a place can hide a point as a deletion does, and cannot make its
record: that takes the root key.
"""

from contextlib import suppress

from services.chassis.errors import AlreadyExists, FailedPrecondition, NotFound, PermissionDenied
from services.mover.repository.context import Context
from services.mover.repository.format.lease import encode_revocation
from services.mover.repository.format.names import DELETED, POINTS, deletion_name
from services.mover.repository.points import is_revoked, listed_points
from services.mover.repository.reserve import with_ballast
from services.mover.repository.store import HidingStore


def record_deletion(context: Context, point_id: str) -> None:
    """Say, before it is done, that who deletes this point may. Nothing where what is deleted is gone."""
    if not (isinstance(context.store, HidingStore) and context.store.hides()):
        return
    name, keys = deletion_name(point_id), context.keys
    record = encode_revocation(keys.revocation_key, keys.repository_id, name)
    with suppress(AlreadyExists):
        with_ballast(context, lambda: context.store.put(name, [record]))


def was_deleted(context: Context, point_id: str) -> bool:
    """Whether one who has a key deleted the point."""
    return is_revoked(context, deletion_name(point_id))


def forget_deletion(context: Context, point_id: str) -> None:
    """The point is there again."""
    with suppress(NotFound):
        context.store.delete(deletion_name(point_id))


def forget_moot_deletions(context: Context) -> None:
    """Remove records of points that are there, and of those of which nothing is kept any more."""
    store = context.store
    recorded = {stored.name.removeprefix(DELETED) for stored in store.list(DELETED)}
    if not recorded or not isinstance(store, HidingStore):
        return
    try:
        kept = {each.name.removeprefix(POINTS) for each in store.hidden(POINTS)}
    except (PermissionDenied, FailedPrecondition) as error:
        context.on_notice("DELETIONS_KEPT", f"{error.message} Records of deletions are kept for now.")
        return
    hidden = kept - set(listed_points(context))
    for point_id in sorted(recorded - hidden):
        with suppress(NotFound):
            store.delete(DELETED + point_id)
