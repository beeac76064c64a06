"""A pytest plugin that writes the report: ``-p tests.support.scenario_report --scenario-report PATH``."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.injections import Outcome, report
from tests.support.scenario_marks import MARK


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scenario-report", type=Path, help="Where to write what was injected and what held.")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--scenario-report")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ScenarioReport(path))


class ScenarioReport:
    """Gathers the outcome of every marked test, from all workers, and writes the report at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed: set[str] = set()
        self._skipped: dict[str, str] = {}
        self._outcomes: list[Outcome] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
        if report.skipped:
            self._skipped[report.nodeid] = _reason(report.longrepr)
        properties: dict[str, Any] = dict(report.user_properties)
        if report.when != "teardown" or MARK not in properties:
            return
        skipped = self._skipped.get(report.nodeid, "")
        failed = report.nodeid in self._failed
        injected, survived = properties.get("injections", (1, 1 - failed))
        if injected == survived and failed:
            injected += 1
        if skipped:
            injected = survived = 0
        self._outcomes.append(Outcome(tuple(properties[MARK]), injected, survived, skipped))

    def pytest_sessionfinish(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(report(self._outcomes), indent=2) + "\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        told = report(self._outcomes)
        injected = sum(int(line["injected"]) for line in told.values())
        survived = sum(int(line["survived"]) for line in told.values())
        terminalreporter.write_line(f"{survived} of {injected} injections survived: {self._path}")


def _reason(longrepr: object) -> str:
    return str(longrepr[2]).removeprefix("Skipped: ") if isinstance(longrepr, tuple) else str(longrepr)
