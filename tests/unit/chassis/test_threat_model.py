"""The threat model names tests that exist, and claims nothing without one."""

import pytest

from tests.support.named_tests import NAMED, ROOT, is_a_test, named_tests, rows

MODEL = ROOT / "docs/threat-model.md"


@pytest.mark.parametrize(("file", "test"), named_tests(MODEL))
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert is_a_test(file, test)


def test_every_claim_names_a_test_or_says_that_it_is_none() -> None:
    claims = rows(MODEL)

    assert len(claims) > 30
    assert [row for row in claims if not NAMED.search(row) and "not protected" not in row] == []
