"""In which order files are tested: whoever gets a long one last lets the other workers wait."""

from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]
_LONGEST_FIRST = (
    "conformance",  # waits for packages to be installed
    "e2e",
    "faults/hypervisor",
    "faults/mover",
    "bench",
    "integration",
    "faults",
    "contract",
)
"""Folders where a file takes a minute or two, because it starts everything there is, down to seconds."""


def longest_first(items: list[pytest.Item]) -> None:
    """The tests of a file stay together, as they were."""
    items.sort(key=lambda item: _place(item.path))


def _place(file: Path) -> int:
    path = file.relative_to(_TESTS).as_posix()
    begun = (path.startswith(f"{folder}/") for folder in _LONGEST_FIRST)
    return next((place for place, starts in enumerate(begun) if starts), len(_LONGEST_FIRST))
