"""Bringing back what somebody hid: deleted in a bucket that keeps what is deleted, and needed."""

from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied
from services.mover.repository.context import Context
from services.mover.repository.deletions import was_deleted
from services.mover.repository.features import require_writable
from services.mover.repository.format.names import HEADER, KEYS, POINTS, is_id, trash_prefix
from services.mover.repository.keyslots import LEAST_SLOTS, read_slots
from services.mover.repository.points import exists
from services.mover.repository.store import HiddenObject, HidingStore, LockingStore

Notices = list[tuple[str, str]]
"""Codes and sentences."""
UNCOVERED = "OBJECT_UNCOVERED"
HIDDEN = "POINTS_HIDDEN"
KEYS_FEW = "KEYS_FEW"
_NAMED = 3
_REFUSED = (PermissionDenied, FailedPrecondition)


def brought_back(context: Context, name: str, notices: Notices) -> str:
    """Uncover a needed object that is gone. Empty when it is there again, which is noted; else what is said
    of it.
    """
    store = context.store
    if not isinstance(store, HidingStore):
        return f"{name} is damaged: it is gone."
    try:
        found = next((each for each in store.hidden(name) if each.name == name), None)
        if found is None:
            return f"{name} is damaged: it is gone."
    except _REFUSED as error:
        return f"{name} is damaged: it is gone. Whether it is only hidden is not known: {error.message}"
    why = _uncovered(context, store, found, notices)
    return f"{name} is damaged: it is {_since(found)}, and stays so: {why} Remove the marker." if why else ""


def bring_back_header(context: Context, notices: Notices) -> str:
    """What is said of the header when it is gone: nobody who had it not open before opens the repository."""
    return "" if exists(context, HEADER) else brought_back(context, HEADER, notices)


def bring_back_keys(context: Context, notices: Notices) -> None:
    """Let as many keys be seen as are always left when one is removed.

    Whoever hid one of those did so after the last key was removed, so a removed key, which may be hidden as
    well, does not come back.
    """
    seen = len(read_slots(context.store, context.on_notice))
    if seen >= LEAST_SLOTS:
        return
    why = "" if isinstance(context.store, HidingStore) else "There is no other to be found."
    if isinstance(context.store, HidingStore):
        try:
            hidden = sorted(context.store.hidden(KEYS), key=lambda each: each.since, reverse=True)
        except _REFUSED as error:
            hidden, why = [], f"Whether others are hidden is not known: {error.message}"
        for slot in hidden:
            why = _uncovered(context, context.store, slot, notices)
            why = why and f"{slot.name} is {_since(slot)}: {why}"
            seen = len(read_slots(context.store, context.on_notice))
            if why or seen >= LEAST_SLOTS:
                break
    if seen < LEAST_SLOTS:
        text = (
            f"{seen} keys of the repository can be seen, where {LEAST_SLOTS} are always left. {why}".rstrip()
        )
        notices.append((KEYS_FEW, f"{text} Add one while the repository is open: xenkeep repo key add."))


def bring_back_points(context: Context, notices: Notices) -> None:
    """Tell of restore points that are hidden and whose deletion nobody with a key recorded; uncover those
    that are locked, which nobody was to delete.

    Releases that recorded nothing hid points that were not locked yet, and locked ones by movers that were
    not told to lock; for a while there is a copy of those in the trash.
    """
    store = context.store
    if not isinstance(store, HidingStore):
        return
    locks = isinstance(store, LockingStore) and store.lock_period is not None
    if not locks and not store.hides():
        return
    left: list[str] = []
    why = ""
    try:
        for point in list(store.hidden(POINTS)):
            point_id = point.name.removeprefix(POINTS)
            if not is_id(point_id) or was_deleted(context, point_id):
                continue
            in_trash = any(context.store.list(trash_prefix(point_id)))
            if not locks or in_trash or store.hidden_lock(point.name) is None:
                left.append(point_id)
            elif refused := _uncovered(context, store, point, notices):
                left.append(point_id)
                why = f" Uncovering is not possible: {refused}"
    except _REFUSED as error:
        notices.append((HIDDEN, f"Whether restore points are hidden is not known: {error.message}"))
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        text = f"Restore points are hidden under delete markers at {context.store.location}: "
        text += f"{', '.join(left[:_NAMED])}{more}.{why} No Xenkeep has recorded that it deleted them: remove"
        notices.append((HIDDEN, f"{text} the markers to have them back, and find out who deletes there."))


def _uncovered(context: Context, store: HidingStore, what: HiddenObject, notices: Notices) -> str:
    """Why it cannot be; empty when it can be seen again, which is noted."""
    try:
        require_writable(context.store, context.header)
        store.uncover(what.name)
    except (*_REFUSED, NotFound) as error:
        return error.message
    text = f"{what.name} was {_since(what)}. It can be seen again; find out who deletes at"
    notices.append((UNCOVERED, f"{text} {context.store.location}."))
    return ""


def _since(what: HiddenObject) -> str:
    return f"hidden under a delete marker since {what.since:%Y-%m-%d %H:%M:%S} UTC"
