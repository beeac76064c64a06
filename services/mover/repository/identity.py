"""Whether what is at a place is still the repository that was opened there."""

from services.chassis.errors import DataLoss, FailedPrecondition, NotFound
from services.mover.repository.context import Context
from services.mover.repository.format import canonical
from services.mover.repository.format.header import parse_header
from services.mover.repository.format.names import HEADER, KEYS
from services.mover.repository.headerwriting import write_header_again
from services.mover.repository.keyslots import has_slot_of, read_slots
from services.mover.repository.store import require_small

HEADER_REMADE = "HEADER_REMADE"


def require_same_repository(context: Context) -> None:
    """Raises FailedPrecondition when the place was emptied, or holds another repository by now: what is
    written there would be lost with this process. Writes nothing, and takes a lost header for no such thing
    as long as a key says what it was.
    """
    _missing_header(context)


def keep_same_repository(context: Context) -> None:
    """The same before something is written. A header that is lost alone is written again, which is told."""
    error = _missing_header(context)
    if error is None:
        return
    header = context.header.to_json(context.keys.root)
    damaged = isinstance(error, DataLoss)
    if write_header_again(context.store, context.header.repository_id, header, damaged=damaged):
        context.on_notice(HEADER_REMADE, f"{error.message} It was written again, as it was at creation.")


def require_keys(context: Context) -> None:
    """Raises FailedPrecondition when nobody could open the repository again."""
    if not any(True for _ in context.store.list(KEYS)):
        raise FailedPrecondition(
            f"The repository at {context.store.location} has no key left: nobody could open it again.",
            reason="REPOSITORY_KEYS_MISSING",
            hint="Add one while this mover has it open: xenkeep repo key add. Whether others are only hidden"
            " is seen by `xenkeep repo verify`.",
        )


def _missing_header(context: Context) -> NotFound | DataLoss | None:
    """What is wrong with the header, when nothing else is."""
    store, own = context.store, context.header.repository_id
    try:
        require_small(HEADER, store.size(HEADER))
        found = parse_header(canonical.decode_clear(store.get(HEADER), HEADER))
        if found.header.repository_id != own:
            _require_no_other(context, found.header.repository_id)
        found.proven(context.keys.root)
    except (NotFound, DataLoss) as error:
        if has_slot_of(read_slots(store, context.on_notice), own):
            return error
        raise FailedPrecondition(
            f"The repository that was opened at {store.location} is not there any more.",
            reason="REPOSITORY_GONE",
            hint="Is the right file system mounted? Bring it back from a copy, or create a new one.",
        ) from error
    return None


def _require_no_other(context: Context, found: bytes) -> None:
    """A header with another id is another repository's, unless only our own keys are there: then a damaged
    one of ours.
    """
    slots = read_slots(context.store, context.on_notice)
    if has_slot_of(slots, found) or not has_slot_of(slots, context.header.repository_id):
        raise FailedPrecondition(
            f"At {context.store.location} is another repository than the one that was opened there.",
            reason="REPOSITORY_REPLACED",
            hint="Is the right file system mounted? If the other one was copied over it, bring this one back"
            " from a copy; import the other one under a name of its own.",
        )
