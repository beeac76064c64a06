"""Writes a disk in as many passes as it takes."""

from collections.abc import Callable, Sequence

from services.chassis.errors import DeadlineExceeded, Unavailable
from services.mover.domain import Extent
from services.mover.ports import BlockTarget

_MOST_PASSES = 5


def fill_disk(
    target: BlockTarget,
    extents: Sequence[Extent],
    feed: Callable[[BlockTarget], None],
    *,
    most_passes: int = _MOST_PASSES,
) -> int:
    """Let ``feed`` write all ``extents``, and again from the first when the pass was cut.

    Nothing of a cut pass counts: only a finished one is known to be on the disk. Returns how many passes it
    took; the target's notices say why. Raises what the last pass raised, and at once what another pass would
    not mend.
    """
    for number in range(1, most_passes + 1):
        target.begin(extents)
        try:
            feed(target)
            target.finish()
        except (Unavailable, DeadlineExceeded):
            if number == most_passes:
                raise
        else:
            return number
    raise ValueError(f"{most_passes} passes are none")
