"""Retiring epochs: nothing is left that is sealed with their data keys (docs/repository-format.md, 5)."""

import contextlib

from services.chassis.errors import FailedPrecondition, NotFound
from services.mover.repository.context import Context
from services.mover.repository.epochs import epochs_in_use
from services.mover.repository.format.names import epoch_name
from services.mover.repository.indexing import sync_index
from services.mover.repository.leasewatch import highest_numbers
from services.mover.repository.packlisting import listed_packs
from services.mover.repository.pruning.report import PruneReport


def require_retirable(context: Context, through: int) -> None:
    """Raises FailedPrecondition when new packs are sealed with an epoch that is to be retired."""
    current = max((use.epoch for use in epochs_in_use(context) if use.current), default=0)
    if through >= current:
        raise FailedPrecondition(
            f"Epoch {through} cannot be retired: new packs are sealed with epoch {current}.",
            reason="EPOCH_IN_USE",
            hint="Start a new one first: xenkeep repo key rotate.",
        )


def retire(context: Context, through: int, report: PruneReport) -> None:
    """Remove epochs that seal nothing any more, and say what is left of the others.

    While anybody writes none is removed: a backup that began before the rotation seals with the old key.
    """
    sync_index(context)
    old = [use for use in epochs_in_use(context) if use.epoch <= through]
    report.old_epoch_packs = sum(use.packs for use in old)
    if report.old_epoch_packs:
        return
    if highest_numbers(context) or _has_strangers(context):
        text = f"Epochs up to {through} are kept: backups that are under way may still use them."
        context.on_notice("EPOCHS_KEPT", f"{text} Retire them again later.")
        return
    for use in old:
        with contextlib.suppress(NotFound):
            context.store.delete(epoch_name(use.epoch))
        context.keys.forget(use.epoch)
    report.retired_epochs = tuple(use.epoch for use in old)


def _has_strangers(context: Context) -> bool:
    """Whether there are packs that no index segment lists: nobody knows their epochs."""
    with listed_packs(context.store) as listed:
        return any(
            len(context.index.known_packs([pack.sha256 for pack in some])) < len(some)
            for some in listed.batches()
        )
