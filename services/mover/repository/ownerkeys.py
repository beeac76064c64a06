"""The keys of an opened repository, as its owner handles them."""

from collections.abc import Callable

from services.mover.repository.context import Context
from services.mover.repository.epochs import EpochUse, epochs_in_use, learn_epochs, start_epoch
from services.mover.repository.features import require_openable
from services.mover.repository.format.slot import Argon2Cost
from services.mover.repository.indexing import sync_index
from services.mover.repository.keyslots import (
    add_passphrase,
    add_recovery_key,
    read_slots,
    remove_slot,
    unlock,
)


class RepositoryKeys:
    """``Repository.keys``. Changes are proven by opening what was written."""

    def __init__(self, context: Context, prepare_writing: Callable[[], None]) -> None:
        self._context = context
        self._prepare_writing = prepare_writing

    def list_slots(self) -> list[tuple[str, str, str]]:
        """Id, kind and label of every key slot."""
        require_openable(self._context.store)
        slots = read_slots(self._context.store, self._context.on_notice)
        return [(slot.slot_id, slot.kind, slot.label) for slot in slots]

    def slot_of(self, secret: str) -> str:
        """Id of the slot that ``secret`` opens; raises Unauthenticated when it opens none."""
        context = self._context
        slots = read_slots(context.store, context.on_notice)
        return unlock(slots, secret, context.store.location, context.on_notice)[1].slot_id

    def add_passphrase(
        self, slot_id: str, passphrase: str, label: str = "", cost: Argon2Cost | None = None
    ) -> None:
        """Let another passphrase open the repository; raises AlreadyExists when the slot id is taken."""
        self._prepare_writing()
        add_passphrase(self._context, slot_id, passphrase, label, cost or Argon2Cost())

    def add_recovery_key(self, slot_id: str, label: str = "") -> str:
        """Another recovery key, which is kept nowhere."""
        self._prepare_writing()
        return add_recovery_key(self._context, slot_id, label)

    def remove_slot(self, slot_id: str) -> None:
        """Make a passphrase or recovery key useless; raises FailedPrecondition when too few would be left."""
        self._prepare_writing()
        remove_slot(self._context, slot_id)

    def start_epoch(self) -> int:
        """Seal new packs with a fresh data key from the next backup on; its epoch."""
        self._prepare_writing()
        highest = learn_epochs(self._context)
        return start_epoch(self._context, highest.epoch if highest else 0).epoch

    def epochs(self) -> list[EpochUse]:
        """Epochs of data keys, in order, and what is sealed with each."""
        require_openable(self._context.store)
        sync_index(self._context)
        return epochs_in_use(self._context)
