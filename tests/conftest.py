"""Fixtures every test may ask for."""

import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.folders import module_folder
from tests.support.nats import nats_server
from tests.support.order import longest_first
from tests.support.postgres import empty_database, fresh_database, postgres_url
from tests.support.room import require_room
from tests.support.scenario_marks import carry_scenarios, injections
from tests.support.seaweed import seaweed, tell_last_words

__all__ = [
    "empty_database",
    "fresh_database",
    "injections",
    "module_folder",
    "nats_server",
    "postgres_url",
    "seaweed",
]

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever runs tests in the background of a shell lets them, and all they start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        require_room(Path(tempfile.gettempdir()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    tell_last_words(item, report)
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    carry_scenarios(items)
    longest_first(items)
