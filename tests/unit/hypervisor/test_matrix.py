"""The hypervisor matrix names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MATRIX = ROOT / "docs/hypervisor-matrix.md"
NAMED = re.compile(r"`([a-z_0-9/]+\.py)::(\w+)`")


def _named() -> list[tuple[str, str]]:
    return sorted(set(NAMED.findall(MATRIX.read_text())))


@pytest.mark.parametrize(("file", "test"), _named())
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    text = (ROOT / "tests" / file).read_text()
    assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE)


def test_every_row_names_a_test_or_says_what_is_missing() -> None:
    rows = [line for line in MATRIX.read_text().splitlines() if re.match(r"\| (?!requirement|---)", line)]
    assert len(rows) > 50
    assert [row for row in rows if not NAMED.search(row) and "missing" not in row] == []
