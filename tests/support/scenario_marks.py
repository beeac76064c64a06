"""The marker ``scenario``: checked when tests are collected, carried to the report with the test's counts."""

from collections.abc import Iterator

import pytest

from tests.support.injections import Injections
from tests.support.scenarios import SCENARIOS

MARK = "scenario"


def scenarios_of(item: pytest.Item) -> tuple[int | str, ...]:
    return tuple(dict.fromkeys(number for mark in item.iter_markers(MARK) for number in mark.args))


def carry_scenarios(items: list[pytest.Item]) -> None:
    """Raises ``pytest.UsageError`` for a number that no scenario has."""
    for item in items:
        numbers = scenarios_of(item)
        if unknown := [number for number in numbers if number not in SCENARIOS]:
            raise pytest.UsageError(f"{item.nodeid} is marked with {unknown}, which no scenario is.")
        if numbers:
            item.user_properties.append((MARK, numbers))


@pytest.fixture
def injections(request: pytest.FixtureRequest) -> Iterator[Injections]:
    """Counts what a test injects: ``with injections.one(): ...``."""
    counted = Injections()
    yield counted
    request.node.user_properties.append(("injections", (counted.injected, counted.survived)))
