"""The clients that are quick enough for every test run; ``make conformance`` runs all of them."""

from pathlib import Path

import pytest

from tests.conformance.clients import try_client
from tests.conformance.report import Skip, Tally, table, write_json

BUILD = Path(__file__).parents[2] / "build" / "conformance"


def test_the_sdk_believes_the_simulator(tmp_path: Path) -> None:
    tally = try_client("xenapi-sdk", tmp_path, BUILD)
    assert (tally.failed, tally.skipped) == ([], [])
    assert len(tally.passed) > 800


@pytest.mark.parametrize(
    ("client", "checks"), [("xen-api", 40), ("nbd-client", 9), ("nbd-tools", 7), ("curl", 24)]
)
def test_a_client_that_is_to_be_had_believes_the_simulator(client: str, checks: int, tmp_path: Path) -> None:
    tally = try_client(client, tmp_path, BUILD)
    if tally.skipped:
        pytest.skip(tally.skipped[0][1])  # no way to the client
    assert tally.failed == []
    assert len(tally.passed) >= checks


def test_a_report_counts_and_explains(tmp_path: Path) -> None:
    tally = Tally("a client")
    with tally.check("good"):
        pass
    with tally.check("bad"):
        raise ValueError("not at all")
    for _ in range(2):
        with tally.check("elsewhere"):
            raise Skip("there is no tool")
    write_json(tmp_path / "report.json", [tally])
    assert (
        '"a client": {\n    "passed": 1,\n    "failed": 1,\n    "skipped": 2'
        in (tmp_path / "report.json").read_text()
    )
    text = table([tally])
    assert "a client FAILED bad: ValueError" in text
    assert "a client skipped 2: there is no tool" in text
