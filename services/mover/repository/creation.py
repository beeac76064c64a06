"""Making a repository: key slots, the first epoch, and the header last."""

from services.chassis.errors import Aborted, AlreadyExists, FailedPrecondition, NotFound
from services.mover.repository.format import canonical
from services.mover.repository.format.crypto import KEY_BYTES
from services.mover.repository.format.epoch import encode_epoch_object, wrap_data_key
from services.mover.repository.format.header import Header, checked_parameters
from services.mover.repository.format.names import HEADER, PROBES, UNFINISHED, epoch_name, slot_name
from services.mover.repository.format.recovery_key import SECRET_BYTES, print_recovery_key
from services.mover.repository.format.slot import (
    PASSPHRASE,
    RECOVERY,
    Argon2Cost,
    checked_passphrase,
    make_slot,
)
from services.mover.repository.keys import GENERATION
from services.mover.repository.store import Store
from services.mover.repository.types import Entropy

FIRST_EPOCH = 1


def write_new_repository(
    store: Store,
    passphrase: str,
    *,
    chunk_bytes: int,
    pack_bytes: int,
    created_time: str,
    cost: Argon2Cost,
    entropy: Entropy,
) -> str:
    """Write an empty repository; its recovery key, which is kept nowhere.

    Raises AlreadyExists when there is one, FailedPrecondition when there is something else. What a creation
    that died left behind (no header, hence no repository) is replaced.
    """
    checked_passphrase(passphrase)
    checked_parameters(chunk_bytes, pack_bytes)
    _make_room(store)
    root, recovery, repository_id = entropy(KEY_BYTES), entropy(SECRET_BYTES), entropy(16)
    header = Header(repository_id, chunk_bytes, pack_bytes, created_time).to_json(root)
    slots: dict[str, bytes] = {}
    for kind, secret in ((PASSPHRASE, passphrase), (RECOVERY, recovery)):
        slots[slot_name(f"{kind}-1")] = make_slot(
            slot_id=f"{kind}-1",
            kind=kind,
            label="made with the repository",
            created_time=created_time,
            generation=GENERATION,
            root=root,
            header_json=header,
            secret=secret,
            cost=cost,
            salt=entropy(16),
            nonce=entropy(12),
        )
    for name, slot in slots.items():
        store.put(name, [slot])
    epoch = wrap_data_key(root, repository_id, FIRST_EPOCH, GENERATION, entropy(KEY_BYTES), entropy(12))
    store.put(epoch_name(FIRST_EPOCH), [encode_epoch_object(epoch)])
    store.put(HEADER, [canonical.encode(header)])
    _require_own_slots(store, slots)
    return print_recovery_key(recovery)


def _require_own_slots(store: Store, slots: dict[str, bytes]) -> None:
    """Two creations at once may take each other's slots for leftovers: then this one did not happen."""
    try:
        intact = all(store.get(name) == slot for name, slot in slots.items())
    except NotFound:
        intact = False
    if not intact:
        store.delete(HEADER)
        raise Aborted(
            f"Somebody else is creating a repository at {store.location}.",
            reason="CREATION_RACE",
            hint="See whether theirs succeeded before trying again.",
        )


def _make_room(store: Store) -> None:
    """Somebody who writes a damaged header again may take it away while the store is listed: that there is
    more than leftovers is seen by the second listing at the latest.
    """
    if leftovers := _leftovers(store):
        leftovers = _leftovers(store)
    for name in leftovers:
        store.delete(name)


def _leftovers(store: Store) -> list[str]:
    """Of a creation that died; raises AlreadyExists or FailedPrecondition when anything else is there."""
    leftovers = []
    for stored in store.list(""):
        if stored.name == HEADER:
            raise AlreadyExists(
                f"There is a repository at {store.location} already.",
                reason="REPOSITORY_EXISTS",
                hint="Import it with its passphrase or recovery key, or choose another place.",
            )
        if stored.name.startswith(PROBES):
            continue
        if not stored.name.startswith(UNFINISHED):
            raise FailedPrecondition(
                f"{store.location} holds something else, {stored.name} for example.",
                reason="STORE_NOT_EMPTY",
                hint="Choose an empty or new directory. If a repository was here, repair its header.",
            )
        leftovers.append(stored.name)
    return leftovers
