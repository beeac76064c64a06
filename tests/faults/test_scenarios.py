"""The table of faults and the tests agree, and the report leaves none out."""

import json
import re
from pathlib import Path
from typing import Literal

import pytest

from tests.support.injections import Outcome, key, report
from tests.support.scenario_report import ScenarioReport
from tests.support.scenarios import GROUPS, HISTORY, LEAKS, SCENARIOS

_PHASES: list[tuple[Literal["setup", "call", "teardown"], Literal["passed", "failed"]]] = [
    ("setup", "passed"),
    ("call", "failed"),
    ("teardown", "passed"),
]
_MARK = re.compile(r"mark\.scenario\(([^)]*)\)")
_NAMES = {"HISTORY": HISTORY, "LEAKS": LEAKS}


def _marked() -> set[int | str]:
    """Every scenario that a test file marks a test with."""
    found: set[int | str] = set()
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        for arguments in _MARK.findall(path.read_text()):
            for text in re.findall(r"\d+|[A-Z]+(?=,|$)|\"[^\"]+\"", arguments):
                found.add(int(text) if text.isdecimal() else _NAMES.get(text, text.strip('"')))
    return found


def test_each_of_the_48_is_in_a_group_and_has_tests_or_a_reason_why_not() -> None:
    assert [n for low, high in GROUPS.values() for n in range(low, high + 1)] == list(range(1, 49))
    assert set(range(1, 49)) <= set(SCENARIOS)
    marked = _marked()
    assert marked <= set(SCENARIOS)
    shown = {number for number, scenario in SCENARIOS.items() if scenario.shown}
    assert shown == marked
    assert all(scenario.shown or scenario.missing for scenario in SCENARIOS.values())


def test_a_report_of_nothing_claims_nothing() -> None:
    told = report([])
    assert [key(number) for number in SCENARIOS] == list(told)
    assert all((line["injected"], line["survived"]) == (0, 0) and line["note"] for line in told.values())


def test_a_report_counts_what_was_injected_and_what_held() -> None:
    told = report([Outcome((1, 2), 5, 4), Outcome((1,), 1, 1), Outcome((3,), 0, 0, "no server")])
    assert (6, 5) == (told[key(1)]["injected"], told[key(1)]["survived"])
    assert (5, 4) == (told[key(2)]["injected"], told[key(2)]["survived"])
    assert "Skipped: no server" in str(told[key(3)]["note"])


@pytest.mark.parametrize("counted", [None, (7, 6), (7, 7)])
def test_a_test_that_fails_is_not_reported_as_survived(
    tmp_path: Path, counted: tuple[int, int] | None
) -> None:
    plugin = ScenarioReport(tmp_path / "build" / "report.json")
    properties: list[tuple[str, object]] = [("scenario", (4,))]
    if counted is not None:
        properties.append(("injections", counted))
    for when, outcome in _PHASES:
        plugin.pytest_runtest_logreport(
            pytest.TestReport(
                "tests/x.py::test", ("x", 1, "x"), {}, outcome, None, when, (), 0, 0, 0, properties
            )
        )
    plugin.pytest_sessionfinish()
    line = json.loads((tmp_path / "build" / "report.json").read_text())[key(4)]
    assert line["survived"] == line["injected"] - 1
