"""Tests that a document names, as `` `unit/room/test_x.py::test_y` ``: a promise that something tries it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([a-z_0-9/]+\.py)::(\w+)`")


def named_tests(document: Path) -> list[tuple[str, str]]:
    """File below ``tests/`` and function of every test the document names."""
    return sorted(set(NAMED.findall(document.read_text())))


def is_a_test(file: str, test: str) -> bool:
    """Whether the file has this test."""
    path = ROOT / "tests" / file
    return path.exists() and bool(re.search(rf"^(async )?def {test}\(", path.read_text(), re.MULTILINE))


def rows(document: Path) -> list[str]:
    """Rows of the document's tables, headers left out: a header is what a line of dashes follows."""
    lines = document.read_text().splitlines()
    below = [*lines[1:], ""]
    return [
        line
        for line, after in zip(lines, below, strict=True)
        if line.startswith("| ") and not after.startswith("|---")
    ]
