"""The figures of a run as bars: who was how fast, an SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape

from tests.bench.peers import RAW_FILE

_WIDTH: Final = 720
_LEFT, _LONGEST = 190, 430
_ROW, _GAP = 18, 34
_OURS, _PEER, _FLOOR = "#1f6f8b", "#c9c9c9", "#ececec"
_NAMES: Final = {"xenkeep": "Xenkeep", "restic": "restic", "borg": "Borg", "qemu_img": "qemu-img"}


@dataclass(frozen=True, slots=True)
class Bar:
    """``value`` None: not measured, left out."""

    label: str
    value: float | None
    colour: str = _PEER


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars on one scale from zero."""

    title: str
    bars: Sequence[Bar]


def chart(figures: Mapping[str, Any]) -> str:
    """Of the figures of ``report.figures``; steps nobody took part in are left out."""
    panels = [
        _speeds("Full, MiB of the disk a second", figures["full"]),
        _speeds("Restore, MiB a second", figures["restore"]),
        _speeds("Restore, days later and on the disk, MiB a second", figures["restore_cold"]),
        _incremental(figures["samples"]["costs"].get("dense.incremental", {})),
    ]
    lines: list[str] = []
    bottom = 8
    for panel in panels:
        bottom = _draw(panel, bottom, lines)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom}" font-family="sans-serif" '
    )
    return "\n".join(
        [
            head + 'font-size="12">',
            f'<rect width="{_WIDTH}" height="{bottom}" fill="white"/>',
            *lines,
            "</svg>\n",
        ]
    )


def _speeds(title: str, speeds: Mapping[str, Any]) -> Panel:
    bars = [
        Bar("Xenkeep", speeds["xenkeep_mib_s"], _OURS),
        Bar("Xenkeep, running mover", speeds["xenkeep_running_mib_s"], _OURS),
    ]
    bars += [_peer(who, source, speeds[f"{who}{source}_mib_s"]) for who, source in _peers()]
    bars.append(Bar("the machine, work in turn", speeds.get("floor_in_turn_mib_s"), _FLOOR))
    return Panel(title, bars)


def _incremental(costs: Mapping[str, Sequence[Mapping[str, float]]]) -> Panel:
    def seconds(who: str) -> float | None:
        taken = sorted(cost["seconds"] for cost in costs.get(who, ()))
        return (taken[(len(taken) - 1) // 2] + taken[len(taken) // 2]) / 2 if taken else None

    bars = [
        Bar("Xenkeep", seconds("xenkeep"), _OURS),
        Bar("Xenkeep, running mover", seconds("xenkeep_running"), _OURS),
    ]
    bars += [_peer(who, source, seconds(who + source)) for who, source in _peers()]
    return Panel("Incremental of 1 % changed, seconds (less is better)", bars)


def _peers() -> list[tuple[str, str]]:
    return [(who, source) for who in ("restic", "borg", "qemu_img") for source in ("", RAW_FILE)]


def _peer(who: str, source: str, value: float | None) -> Bar:
    return Bar(f"{_NAMES[who]}, {'raw file' if source else 'NBD and TLS'}", value)


def _draw(panel: Panel, top: int, lines: list[str]) -> int:
    """Appends the panel's elements; where the next one begins."""
    shown = [(bar, bar.value) for bar in panel.bars if bar.value is not None]
    if not shown:
        return top
    lines.append(f'<text x="10" y="{top + 14}" font-size="14">{escape(panel.title)}</text>')
    longest = max(value for _, value in shown)
    for row, (bar, value) in enumerate(shown):
        y = top + 24 + row * _ROW
        width = _LONGEST * value / longest if longest else 0
        text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(bar.label)}</text>')
        lines.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="14" fill="{bar.colour}"/>')
        lines.append(f'<text x="{_LEFT + width + 6:.1f}" y="{y + 12}">{text}</text>')
    return top + _GAP + len(shown) * _ROW
