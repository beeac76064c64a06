"""The key slots of a repository: reading, opening, adding, removing."""

from collections.abc import Iterable
from contextlib import suppress

from services.chassis.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from services.mover.repository.context import Context, Listener
from services.mover.repository.format.crypto import same
from services.mover.repository.format.names import KEYS, slot_name
from services.mover.repository.format.recovery_key import SECRET_BYTES, parse_recovery_key, print_recovery_key
from services.mover.repository.format.slot import (
    PASSPHRASE,
    RECOVERY,
    Argon2Cost,
    Slot,
    checked_passphrase,
    make_slot,
    parse_slot,
)
from services.mover.repository.keys import GENERATION
from services.mover.repository.store import Store, require_small

LEAST_SLOTS = 2


def read_slots(store: Store, on_notice: Listener) -> list[Slot]:
    """Every readable key slot; damaged ones, and those of later releases, are reported and left out.

    Raises FailedPrecondition when all that are not damaged are of a later release.
    """
    slots = []
    later: FailedPrecondition | None = None
    for stored in sorted(store.list(KEYS), key=lambda stored: stored.name):
        try:
            require_small(stored.name, stored.size)
            slots.append(parse_slot(store.get(stored.name), stored.name.removeprefix(KEYS)))
        except (DataLoss, NotFound) as error:
            on_notice("KEY_SLOT_DAMAGED", f"{error.message} Add another key while one still opens.")
        except FailedPrecondition as error:
            later = error
            on_notice("KEY_SLOT_UNKNOWN", f"{stored.name} is of a later release: {error.message}")
    if later is not None and not slots:
        raise later
    return slots


def has_slot_of(slots: Iterable[Slot], repository_id: bytes) -> bool:
    """Whether one of them says that it is of this repository; needs no key."""
    return any(slot.header.header.repository_id == repository_id for slot in slots)


def unlock(slots: list[Slot], secret: str, location: str, on_notice: Listener) -> tuple[bytes, Slot]:
    """The root key and the slot that ``secret`` (passphrase or recovery key) opened.

    Raises Unauthenticated when it opens none, ResourceExhausted when not all could be tried, InvalidInput
    when it is a mistyped recovery key.
    """
    recovery = parse_recovery_key(secret)
    untried: ResourceExhausted | None = None
    # The cheap ones first, so that a slot somebody planted does not cost gigabytes before the right one.
    by_cost = sorted(slots, key=lambda slot: slot.cost.work if slot.cost else 0)
    for tried in (secret,) if recovery is None else (recovery, secret):
        for slot in by_cost:
            try:
                root = slot.open(tried)
            except DataLoss as error:
                on_notice("KEY_SLOT_DAMAGED", f"{error.message} Add another key while one still opens.")
                continue
            except ResourceExhausted as error:
                untried = error
                continue
            if root is not None and slot.generation == GENERATION:
                return root, slot
    if untried is not None:
        raise untried
    raise Unauthenticated(
        f"This passphrase or recovery key does not open the repository at {location}.",
        reason="WRONG_SECRET",
        hint="Check it, or use the recovery key printed at creation.",
    )


def add_passphrase(context: Context, slot_id: str, passphrase: str, label: str, cost: Argon2Cost) -> None:
    _add(context, slot_id, PASSPHRASE, label, checked_passphrase(passphrase), cost)


def add_recovery_key(context: Context, slot_id: str, label: str) -> str:
    """The printable key, which is kept nowhere."""
    secret = context.entropy(SECRET_BYTES)
    _add(context, slot_id, RECOVERY, label, secret, Argon2Cost())
    return print_recovery_key(secret)


def remove_slot(context: Context, slot_id: str) -> None:
    """Raises NotFound, or FailedPrecondition when fewer than two working keys would be left.

    Of several who remove keys at one moment each looks again, and takes its own removal back.
    """
    working = [slot.slot_id for slot in read_slots(context.store, context.on_notice)]
    if slot_id in working and len(working) <= LEAST_SLOTS:
        raise _too_few(f"The repository has only {len(working)} working keys")
    name = slot_name(slot_id)
    try:
        removed = context.store.get(name) if slot_id in working else b""
        context.store.delete(name)
    except NotFound:
        raise NotFound(
            f"There is no key slot {slot_id}.",
            reason="SLOT_MISSING",
            hint=f"There are: {', '.join(working)}.",
        ) from None
    if removed and len(read_slots(context.store, context.on_notice)) < LEAST_SLOTS:
        with suppress(AlreadyExists):
            context.store.put(name, [removed])
        raise _too_few("Other keys were removed at the same moment")


def _too_few(why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"{why}; {LEAST_SLOTS} must be left.", reason="TOO_FEW_KEYS", hint="Add another key first."
    )


def _add(
    context: Context, slot_id: str, kind: str, label: str, secret: str | bytes, cost: Argon2Cost
) -> None:
    """Write the slot and prove, by reading it back, that it opens."""
    root = context.keys.root
    slot = make_slot(
        slot_id=slot_id,
        kind=kind,
        label=label,
        created_time=context.now(),
        generation=GENERATION,
        root=root,
        header_json=context.header.to_json(root),
        secret=secret,
        cost=cost,
        salt=context.entropy(16),
        nonce=context.entropy(12),
    )
    name = slot_name(slot_id)
    context.store.put(name, [slot])
    opened = parse_slot(context.store.get(name), slot_id).open(secret)
    if opened is None or not same(opened, root):
        raise DataLoss(
            f"The new key slot {slot_id} does not open.",
            reason="SLOT_NOT_PROVEN",
            hint="Remove it and test this machine's memory.",
        )
