"""Archives of figures, and which of them answers a question (xapi: ocaml/libs/xapi-rrd/lib/rrd.ml,
rrd_updates.ml; ocaml/xcp-rrdd/bin/rrdd/rrdd_monitor.ml ``create_rras``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.simulator.pool.metrics import Owner

STEP_S = 5
FUNCTIONS = ("AVERAGE", "MIN", "MAX")


@dataclass(frozen=True)
class Archive:
    """``kept`` rows, each of so many steps; ``functions`` say what of the steps goes into a row."""

    steps: int
    kept: int
    functions: tuple[str, ...] = FUNCTIONS

    @property
    def row_s(self) -> int:
        return self.steps * STEP_S


ARCHIVES = (Archive(1, 120, ("AVERAGE",)), Archive(12, 120), Archive(720, 168), Archive(17280, 366))
"""Ten minutes, two hours, a week, a year. Of single steps there is no minimum or maximum."""


@dataclass(frozen=True)
class Updates:
    """Rows since a moment, the newest first; ``start`` and ``end`` are of the rows that could be there."""

    start: int
    step: int
    end: int
    legend: list[str]
    rows: list[tuple[int, list[float]]]


def updates(owners: Sequence[Owner], start: int, now: int, interval: int, function: str | None) -> Updates:
    """Of the finest archive that has the ``function`` and rows of ``interval`` seconds or more, and reaches
    back to ``start``; else of the longest. All its functions when none is asked for. A negative ``start``
    counts from now.
    """
    start = now + start if start < 0 else start
    archive = _best(start, now, interval, function)
    functions = archive.functions if function is None else (function,)
    columns = [(name, owner, metric) for owner in owners for name in functions for metric in owner.metrics]
    newest = now // archive.row_s * archive.row_s
    moments = (newest - number * archive.row_s for number in range(archive.kept))
    return Updates(
        start // archive.row_s * archive.row_s + archive.row_s,
        archive.row_s,
        newest,
        [f"{name}:{owner.kind}:{owner.uuid}:{metric.name}" for name, owner, metric in columns],
        [
            (moment, [metric.value(moment) for _, _, metric in columns])
            for moment in moments
            if moment >= start
        ],
    )


def _best(start: int, now: int, interval: int, function: str | None) -> Archive:
    having = [archive for archive in ARCHIVES if function is None or function in archive.functions]
    last = now // STEP_S * STEP_S
    for archive in having:
        if archive.steps >= interval // STEP_S and start > last - archive.row_s * archive.kept:
            return archive
    return having[-1]


def history(owner: Owner, archive: Archive, now: int) -> Iterator[list[float]]:
    """All rows of an archive, the oldest first."""
    newest = now // archive.row_s * archive.row_s
    for number in reversed(range(archive.kept)):
        moment = newest - number * archive.row_s
        yield [metric.value(moment) for metric in owner.metrics]
