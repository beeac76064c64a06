"""Opening a repository: header, features, key slots."""

from services.chassis.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Unauthenticated,
)
from services.mover.repository.context import Listener
from services.mover.repository.format import canonical
from services.mover.repository.format.header import (
    Header,
    UnprovenHeader,
    features_from_names,
    parse_header,
    refuse_unknown_features,
)
from services.mover.repository.format.names import FEATURES, HEADER, KEYS
from services.mover.repository.format.recovery_key import parse_recovery_key
from services.mover.repository.format.slot import Slot, parse_slot
from services.mover.repository.keys import GENERATION
from services.mover.repository.store import Store


def read_header(store: Store) -> UnprovenHeader:
    """What needs no key: raises NotFound when this is no repository, FailedPrecondition for a newer one."""
    try:
        data = store.get(HEADER)
    except NotFound:
        if any(True for _ in store.list(KEYS)):
            raise FailedPrecondition(
                f"The repository at {store.location} has no header: it was not finished, or is lost.",
                reason="REPOSITORY_HEADER_MISSING",
                hint="Create it again if it was never used, or repair the header with a key.",
            ) from None
        raise NotFound(
            f"There is no repository at {store.location}.",
            reason="NOT_A_REPOSITORY",
            hint="Is the right file system mounted? Otherwise create a repository.",
        ) from None
    refuse_unknown_features(features_from_names(_feature_names(store), "mandatory"))
    value = canonical.decode_object(data, HEADER)
    header = parse_header(value)
    if canonical.encode(value) != data:
        raise DataLoss(
            f"{HEADER} is damaged: it is not canonical JSON.",
            reason="REPOSITORY_DAMAGED",
            hint="Repair the header with a key.",
        )
    return header


def require_writable(store: Store, header: Header) -> None:
    """Raises FailedPrecondition when this release may only read the repository."""
    refuse_unknown_features(
        (*header.writer, *features_from_names(_feature_names(store), "writer")), "write to"
    )


def _feature_names(store: Store) -> list[str]:
    return [stored.name for stored in store.list(FEATURES)]


def read_slots(store: Store, on_notice: Listener) -> list[Slot]:
    """Every readable key slot; damaged ones are reported and left out."""
    slots = []
    for name in sorted(stored.name for stored in store.list(KEYS)):
        try:
            slots.append(parse_slot(store.get(name), name.removeprefix(KEYS)))
        except (DataLoss, NotFound) as error:
            on_notice("KEY_SLOT_DAMAGED", f"{error.message} Add another key while one still opens.")
    return slots


def unlock(slots: list[Slot], secret: str, location: str, on_notice: Listener) -> tuple[bytes, Slot]:
    """The root key and the slot that ``secret`` (passphrase or recovery key) opened.

    Raises Unauthenticated when it opens none, InvalidInput when it is a mistyped recovery key.
    """
    recovery = parse_recovery_key(secret)
    for tried in (secret,) if recovery is None else (recovery, secret):
        for slot in slots:
            try:
                root = slot.open(tried)
            except DataLoss as error:
                on_notice("KEY_SLOT_DAMAGED", f"{error.message} Add another key while one still opens.")
                continue
            if root is not None and slot.generation == GENERATION:
                return root, slot
    raise Unauthenticated(
        f"This passphrase or recovery key does not open the repository at {location}.",
        reason="WRONG_SECRET",
        hint="Check it, or use the recovery key printed at creation.",
    )


def repair_header(store: Store, secret: str, on_notice: Listener) -> None:
    """Write the header again from a key slot when it is damaged or lost.

    Raises InvalidInput when the header is in order, Unauthenticated when ``secret`` opens no slot.
    """
    root, slot = unlock(read_slots(store, on_notice), secret, store.location, on_notice)
    try:
        read_header(store).proven(root)
    except DataLoss:
        store.delete(HEADER)
    except FailedPrecondition as error:
        if error.reason != "REPOSITORY_HEADER_MISSING":
            raise
    else:
        raise InvalidInput("The header is in order.", reason="HEADER_IN_ORDER", hint="Nothing to do.")
    slot.header.proven(root)
    store.put(HEADER, [canonical.encode(slot.header.json)])
