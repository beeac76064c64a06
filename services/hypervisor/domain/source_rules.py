"""What may still be asked of a backup source."""

from services.chassis.errors import FailedPrecondition
from services.hypervisor.domain.source import Source, SourceState


def assert_not_closed(source: Source) -> None:
    """Raises FailedPrecondition SOURCE_CLOSED."""
    if source.state in (SourceState.CLOSING, SourceState.CLOSED):
        raise FailedPrecondition(
            f"Backup source {source.source_id} has been closed.",
            reason="SOURCE_CLOSED",
            hint="Start a new backup with a new id.",
        )


def assert_open(source: Source) -> None:
    """Raises FailedPrecondition SOURCE_CLOSED, SOURCE_NOT_OPEN."""
    assert_not_closed(source)
    if source.state is SourceState.OPENING:
        raise FailedPrecondition(
            f"Backup source {source.source_id} has not been opened completely.",
            reason="SOURCE_NOT_OPEN",
            hint="Open it again with the same id.",
        )


def snapshot_gone(of: str) -> FailedPrecondition:
    """``of`` what, for a person."""
    return FailedPrecondition(
        f"Somebody removed the snapshot of {of}.",
        reason="SNAPSHOT_GONE",
        hint="Start a new backup, and leave snapshots called xenkeep-… alone.",
    )
