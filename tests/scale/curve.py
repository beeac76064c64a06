"""The report as a curve to a petabyte, in processor seconds; beyond what was measured in proportion."""

from collections.abc import Sequence
from typing import Any, Final

from tests.scale.chart import Axis, Line, chart
from tests.scale.shape import MIB, TIB

PIB: Final = 1024 * TIB
_X: Final = Axis(
    TIB / 16, 2 * PIB, {TIB / 10: "0.1 TiB", TIB: "1", 10 * TIB: "10", 100 * TIB: "100", PIB: "1 PiB"}
)
_Y: Final = Axis(
    0.001,
    100_000,
    {
        0.001: "0.001",
        0.01: "0.01",
        0.1: "0.1",
        1: "1",
        10: "10",
        100: "100",
        1000: "1,000",
        10_000: "10,000",
        100_000: "100,000",
    },
)
_LINES: Final = (
    ("prune, s", "prune_nothing", "cpu_seconds", 1.0),
    ("verify plan, s", "plan_verification", "cpu_seconds", 1.0),
    ("open, no cache, s", "open_clean", "cpu_seconds", 1.0),
    ("open, s", "open_again", "cpu_seconds", 1.0),
    ("cache, GiB", "open_clean", "cache_bytes", 1 / (1 << 30)),
)


def curve(report: Sequence[dict[str, Any]]) -> str:
    """An SVG; steps that a run does not have are left out."""
    lines: dict[str, Line] = {}
    for label, step, figure, scale in _LINES:
        seen = [
            (run["chunks"] * MIB, run["steps"][step][figure] * scale)
            for run in report
            if step in run["steps"]
        ]
        if seen:
            lines[label] = Line(seen, _onwards(seen))
    return chart("One repository, by its distinct content", _X, _Y, lines)


def _onwards(seen: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """In proportion from the last figure on: everything here grows at most like that."""
    size, value = seen[-1]
    return [(PIB, value * PIB / size)] if size < PIB else []
