"""A curve on double logarithmic paper, as SVG: what was measured, and dashes to where nobody measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 40, 50
_LABEL_HEIGHT: Final = 14
_COLOURS: Final = ("#1b6ca8", "#c0392b", "#27824b", "#8e44ad", "#b9770e", "#444444")


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` to ``high``, both powers of ten; ``ticks`` are labelled."""

    low: float
    high: float
    ticks: Mapping[float, str]

    def share(self, value: float) -> float:
        return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))


@dataclass(frozen=True, slots=True)
class Line:
    """``guessed`` goes on where ``measured``, which is not empty, ends."""

    measured: Points
    guessed: Points


def chart(title: str, x: Axis, y: Axis, lines: Mapping[str, Line]) -> str:
    """``lines`` by their label; what was not measured is dashed."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{title}</text>',
        *_grid(x, y),
    ]
    ends: list[tuple[float, float, str, str]] = []
    for colour, (label, line) in zip(_COLOURS, lines.items(), strict=False):
        known = [(_across(x, at), _up(y, value)) for at, value in line.measured]
        guessed = [known[-1], *((_across(x, at), _up(y, value)) for at, value in line.guessed)]
        parts.append(_line(known, colour, ""))
        parts.append(_line(guessed, colour, ' stroke-dasharray="5 4"'))
        parts += [f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{colour}"/>' for left, top in known]
        ends.append((guessed[-1][1], guessed[-1][0], colour, label))
    parts += _labels(ends)
    return "\n".join([*parts, "</svg>", ""])


def _grid(x: Axis, y: Axis) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for value, text in x.ticks.items():
        at = _across(x, value)
        parts.append(f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}" stroke="#dddddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>')
    for value, text in y.ticks.items():
        at = _up(y, value)
        parts.append(f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    return parts


def _labels(ends: list[tuple[float, float, str, str]]) -> list[str]:
    """At the lines' ends (top, left, colour, text), from the highest down, none over another."""
    parts = []
    lowest = 0.0
    for top, left, colour, label in sorted(ends):
        lowest = max(top + 4, lowest + _LABEL_HEIGHT)
        parts.append(f'<text x="{left + 8:.1f}" y="{lowest:.1f}" fill="{colour}">{label}</text>')
    return parts


def _line(places: Points, colour: str, style: str) -> str:
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{style}/>'


def _across(x: Axis, value: float) -> float:
    return _LEFT + x.share(value) * (_WIDTH - _LEFT - _RIGHT)


def _up(y: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - y.share(value) * (_HEIGHT - _TOP - _BOTTOM)
