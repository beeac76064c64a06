"""Opening a repository: header, features, key slots."""

from collections.abc import Callable

from services.chassis.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    XenkeepError,
)
from services.mover.repository.context import Listener
from services.mover.repository.features import require_openable, require_writable
from services.mover.repository.format import canonical
from services.mover.repository.format.header import Header, UnprovenHeader, parse_header
from services.mover.repository.format.names import HEADER, KEYS
from services.mover.repository.format.slot import Slot
from services.mover.repository.headerwriting import write_header_again
from services.mover.repository.keyslots import has_slot_of, read_slots, unlock
from services.mover.repository.store import HiddenObject, HidingStore, Store, require_small


def read_header(store: Store) -> UnprovenHeader:
    """What needs no key: raises NotFound when this is no repository, FailedPrecondition for a newer one."""
    try:
        require_small(HEADER, store.size(HEADER))
        data = store.get(HEADER)
    except NotFound:
        if hidden := _hidden_header(store):
            raise NotFound(
                f"The header of the repository at {store.location} is hidden under a delete marker since"
                f" {hidden.since:%Y-%m-%d %H:%M:%S} UTC.",
                reason="REPOSITORY_HEADER_HIDDEN",
                hint="Remove the marker with the server's own tools, or let `xenkeep repo repair-header`"
                " write it again; and find out who deletes there.",
            ) from None
        if any(True for _ in store.list(KEYS)):
            raise FailedPrecondition(
                f"The repository at {store.location} has no header: it was not finished, or is lost.",
                reason="REPOSITORY_HEADER_MISSING",
                hint="Create it again if it was never used; `xenkeep repo repair-header` writes a lost one.",
            ) from None
        raise NotFound(
            f"There is no repository at {store.location}.",
            reason="NOT_A_REPOSITORY",
            hint="Is the right file system mounted? Otherwise create a repository.",
        ) from None
    require_openable(store)
    return parse_header(canonical.decode_clear(data, HEADER))


def is_header_lost(error: XenkeepError) -> bool:
    """Whether opening failed because the header is missing or damaged, which a key slot can make good."""
    if isinstance(error, DataLoss):
        return error.metadata.get("object") == HEADER
    return error.reason in ("REPOSITORY_HEADER_MISSING", "REPOSITORY_HEADER_HIDDEN")


def _hidden_header(store: Store) -> HiddenObject | None:
    """None also when it is not known: then it is as if it were not there."""
    if not isinstance(store, HidingStore):
        return None
    try:
        return next((each for each in store.hidden(HEADER) if each.name == HEADER), None)
    except (PermissionDenied, FailedPrecondition):
        return None


def opened_header(
    store: Store, unlocked: Callable[[], tuple[bytes, Slot]], known_id: str, on_notice: Listener
) -> tuple[bytes, Header]:
    """The root key and the header. Of a repository that is known to be there (``known_id``, hexadecimal) a
    header that is lost or damaged is the key slot's, which is told; raises as ``read_header`` otherwise.
    """
    try:
        found = read_header(store)
    except XenkeepError as error:
        if not known_id or not is_header_lost(error):
            raise
        root, slot = unlocked()
        return root, _own_header(store, root, slot, known_id, error, on_notice)
    root, slot = unlocked()
    try:
        return root, found.proven(root)
    except DataLoss as error:
        other = found.header.repository_id
        replaced = other.hex() != known_id and has_slot_of(read_slots(store, on_notice), other)
        if not known_id or replaced:
            raise
        return root, _own_header(store, root, slot, known_id, error, on_notice)


def _own_header(
    store: Store, root: bytes, slot: Slot, known_id: str, lost: XenkeepError, on_notice: Listener
) -> Header:
    """What the key slot says that was opened; raises ``lost`` when that is of another repository."""
    header = slot.header.proven(root)
    if header.repository_id.hex() != known_id:
        raise lost
    require_openable(store)
    text = f"{lost.message} The key slot {slot.slot_id} has it; whoever writes next writes it again."
    on_notice("HEADER_LOST", text)
    return header


def repair_header(store: Store, secret: str, on_notice: Listener) -> None:
    """Write the header again from a key slot when it is damaged or lost.

    Raises InvalidInput when the header is in order, Unauthenticated when ``secret`` opens no slot,
    FailedPrecondition when this release must not change the repository.
    """
    require_openable(store)
    root, slot = unlock(read_slots(store, on_notice), secret, store.location, on_notice)
    require_writable(store, slot.header.proven(root))
    try:
        read_header(store).proven(root)
    except XenkeepError as error:
        if not is_header_lost(error):
            raise
        damaged = isinstance(error, DataLoss)
    else:
        raise InvalidInput("The header is in order.", reason="HEADER_IN_ORDER", hint="Nothing to do.")
    write_header_again(store, slot.header.header.repository_id, slot.header.json, damaged=damaged)
