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
