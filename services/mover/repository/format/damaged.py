"""What every decoder says when bytes are not what the format allows."""

from services.chassis.errors import DataLoss


def damaged(what: str, problem: str) -> DataLoss:
    """``what`` is an object, or a part of one; ``problem`` completes 'it is damaged:'."""
    return DataLoss(
        f"{what} is damaged: {problem}.",
        reason="REPOSITORY_DAMAGED",
        hint="Verify the repository; the next backup stores again what it finds damaged.",
        metadata={"object": what},
    )


def unreadable(what: str, problem: str) -> DataLoss:
    """The place that holds ``what`` does not give it back, although it gives others; ``problem`` says so."""
    return DataLoss(
        problem,
        reason="OBJECT_UNREADABLE",
        hint="Replace the disk; the next backup stores again what cannot be read.",
        metadata={"object": what},
    )
