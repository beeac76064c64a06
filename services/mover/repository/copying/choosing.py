"""Which points are copied, in what order, and which of them together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.chassis.errors import DataLoss, NotFound
from services.mover.repository.context import Context
from services.mover.repository.copying.report import CopyOptions, CopyReport, chosen
from services.mover.repository.format.names import POINTS
from services.mover.repository.points import listed_points, read_point
from services.mover.repository.trash import trashed

_TOGETHER: Final = 64
_TOGETHER_BYTES: Final = 4 << 30
"""Nobody waits for long until the first points are made."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A point to copy, and how many bytes were stored when it was made, as far as it says."""

    point_id: str
    new_bytes: int


def points_to_copy(
    source: Context, target: Context, options: CopyOptions, report: CopyReport
) -> list[Chosen]:
    """Those the target lacks, the oldest first. What is not copied is in the report.

    Raises what the two places raise.
    """
    known = set(listed_points(target))
    target.store.settle(POINTS)  # whoever brought them may have died before they were durable
    sizes: dict[str, int] = {}
    found: dict[str, tuple[dict[str, str], str]] = {}
    for point_id in listed_points(source):
        if options.everything and point_id in known:
            report.known_points += 1  # what it says of itself is not asked
            continue
        try:
            point = read_point(source, point_id)
        except NotFound:
            continue  # deleted just now
        except DataLoss as error:
            if point_id not in known:
                report.left_points[point_id] = error.message
            continue
        found[point_id] = (dict(point.asset), point.snapshot_time)
        sizes[point_id] = point.statistics.get("stored_bytes", 0)
    wanted = chosen(found, options)
    deleted = {copy.point_id for copy in trashed(target)}
    for point_id in deleted.intersection(wanted) - known:
        report.left_points[point_id] = "It was deleted at the target, and is in the trash there."
    report.known_points += len(known.intersection(wanted))
    left = (each for each in wanted if each not in known and each not in deleted)
    return [Chosen(each, sizes[each]) for each in left]


def together(points: Sequence[Chosen]) -> Iterator[list[Chosen]]:
    """Points that are made together, in their order: many small ones, a large one alone."""
    some: list[Chosen] = []
    size = 0
    for point in points:
        if some and (len(some) == _TOGETHER or size + point.new_bytes > _TOGETHER_BYTES):
            yield some
            some, size = [], 0
        some.append(point)
        size += point.new_bytes
    if some:
        yield some
