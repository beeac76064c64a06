"""The table at the end of the story."""

from collections.abc import Sequence
from typing import Any

from xenkeep.cli.output import size

HEAD = ("VM", "RUN", "SIZE", "READ", "STORED", "SECONDS", "MIB/S")


def lines(vms: Sequence[dict[str, Any]]) -> list[str]:
    """One line per VM and run, the columns as wide as what is in them; numbers to the right."""
    rows = [HEAD, *(_row(vm) for vm in vms)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return [
        "  ".join(_cell(*each) for each in zip(range(len(HEAD)), row, widths, strict=True)) for row in rows
    ]


def _row(vm: dict[str, Any]) -> tuple[str, ...]:
    sizes = (size(vm[name]) for name in ("logical_bytes", "read_bytes", "stored_bytes"))
    return (vm["vm"], vm["level"], *sizes, f"{vm['seconds']:.1f}", f"{vm['mib_per_second']:.1f}")


def _cell(column: int, text: str, width: int) -> str:
    return text.ljust(width) if column < 2 else text.rjust(width)
