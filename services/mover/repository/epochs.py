"""The epochs of an opened repository."""

from dataclasses import dataclass

from services.chassis.errors import AlreadyExists, DataLoss, NotFound, ResourceExhausted
from services.mover.repository.context import Context
from services.mover.repository.format.crypto import KEY_BYTES
from services.mover.repository.format.epoch import (
    EpochRecord,
    decode_epoch_object,
    encode_epoch_object,
    wrap_data_key,
)
from services.mover.repository.format.names import EPOCHS, MAX_EPOCH, epoch_name
from services.mover.repository.keys import GENERATION


def learn_epochs(context: Context) -> EpochRecord | None:
    """Unwrap every epoch's data key; the highest epoch. Unreadable ones are reported: packs repeat them."""
    highest = None
    for name in sorted(stored.name for stored in context.store.list(EPOCHS)):
        try:
            record = decode_epoch_object(context.store.get(name), name)
            context.keys.learn(record, name)
        except (DataLoss, NotFound) as error:
            context.on_notice("EPOCH_UNREADABLE", f"{error.message} Its packs carry a copy of its key.")
            continue
        if epoch_name(record.epoch) == name:
            highest = record
    return highest


def writing_epoch(context: Context) -> EpochRecord:
    """The epoch new packs belong to; a new one when ``epochs/`` is lost."""
    found = learn_epochs(context)
    if found is not None and found.epoch >= context.index.highest_epoch():
        return found
    return start_epoch(context, found.epoch if found else 0)


@dataclass(frozen=True, slots=True)
class EpochUse:
    """How many packs are sealed with an epoch's data key, and their bytes; new ones belong to ``current``."""

    epoch: int
    packs: int
    pack_bytes: int
    current: bool


def epochs_in_use(context: Context) -> list[EpochUse]:
    """Every epoch that has an object or packs, in order; packs in no index segment are not counted."""
    uses: dict[int, tuple[int, int]] = dict.fromkeys(_listed(context), (0, 0))
    for pack in context.index.packs():
        packs, size = uses.get(pack.epoch, (0, 0))
        uses[pack.epoch] = packs + 1, size + pack.size
    readable = learn_epochs(context)
    current = max(readable.epoch if readable else 0, context.index.highest_epoch())
    return [EpochUse(epoch, *uses[epoch], epoch == current) for epoch in sorted(uses)]


def start_epoch(context: Context, last: int) -> EpochRecord:
    """A new epoch with a fresh data key, above ``last`` and above every epoch in use."""
    epoch = max(last, context.index.highest_epoch(), *_listed(context), 0) + 1
    if epoch > MAX_EPOCH:
        raise ResourceExhausted(
            f"{EPOCHS} has no number left for a new epoch.",
            reason="EPOCHS_EXHAUSTED",
            hint="Remove what is no epoch there: the highest one that opens is in use.",
        )
    keys = context.keys
    record = wrap_data_key(
        keys.root, keys.repository_id, epoch, GENERATION, context.entropy(KEY_BYTES), context.entropy(12)
    )
    try:
        context.store.put(epoch_name(epoch), [encode_epoch_object(record)])
    except AlreadyExists:
        return writing_epoch(context)
    keys.learn(record, epoch_name(epoch))
    return record


def _listed(context: Context) -> list[int]:
    tails = (stored.name.removeprefix(EPOCHS) for stored in context.store.list(EPOCHS))
    return [int(tail) for tail in tails if len(tail) == 8 and tail.isascii() and tail.isdecimal()]
