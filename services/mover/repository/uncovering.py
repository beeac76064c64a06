"""Bringing back what somebody hid: deleted in a bucket that keeps what is deleted, and needed."""

from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied
from services.mover.repository.context import Context
from services.mover.repository.format.names import POINTS
from services.mover.repository.store import HidingStore, LockingStore

UNCOVERED = "OBJECT_UNCOVERED"
HIDDEN = "POINTS_HIDDEN"
_NAMED = 3


def brought_back(context: Context, name: str, notices: list[tuple[str, str]]) -> str:
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
    except (PermissionDenied, FailedPrecondition) as error:
        return f"{name} is damaged: it is gone. Whether it is only hidden is not known: {error.message}"
    since = f"hidden under a delete marker since {found.since:%Y-%m-%d %H:%M:%S} UTC"
    try:
        store.uncover(name)
    except (PermissionDenied, FailedPrecondition, NotFound) as error:
        return f"{name} is damaged: it is {since}, and stays so: {error.message} Remove the marker."
    notices.append(
        (UNCOVERED, f"{name} was {since}. It can be seen again; find out who deletes at {store.location}.")
    )
    return ""


def note_hidden_points(context: Context, notices: list[tuple[str, str]]) -> None:
    """Where we lock, we hide no restore point: whoever did is somebody else, or we before we locked there.

    They are not uncovered: nobody knows whether they should be there.
    """
    store = context.store
    if not (isinstance(store, HidingStore) and isinstance(store, LockingStore)) or store.lock_period is None:
        return
    try:
        names = [each.name.removeprefix(POINTS) for each in store.hidden(POINTS)]
    except (PermissionDenied, FailedPrecondition) as error:
        notices.append((HIDDEN, f"Whether restore points are hidden is not known: {error.message}"))
        return
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        text = f"Restore points are hidden under delete markers at {store.location}: "
        text += (
            f"{', '.join(names[:_NAMED])}{more}. This mover hides none: remove the markers to have them back."
        )
        notices.append((HIDDEN, text))
