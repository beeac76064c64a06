"""The hypervisor matrix names tests that exist."""

import pytest

from tests.support.named_tests import NAMED, ROOT, is_a_test, named_tests, rows

MATRIX = ROOT / "docs/hypervisor-matrix.md"


@pytest.mark.parametrize(("file", "test"), named_tests(MATRIX))
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert is_a_test(file, test)


def test_every_row_names_a_test_or_says_what_is_missing() -> None:
    assert len(rows(MATRIX)) > 50
    assert [row for row in rows(MATRIX) if not NAMED.search(row) and "missing" not in row] == []
