"""Counting what tests inject and what was survived, and the report of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.scenarios import SCENARIOS


@dataclass
class Injections:
    """What one test injected, and how many held; a test that counts nothing counts as one."""

    injected: int = 0
    survived: int = 0

    def held(self) -> None:
        """One more was injected, and survived."""
        self.injected += 1
        self.survived += 1

    @contextmanager
    def one(self) -> Iterator[None]:
        """An injection, which is survived when the block ends well."""
        self.injected += 1
        yield
        self.survived += 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test's part of the report; ``skipped`` is the reason when it was."""

    scenarios: tuple[int | str, ...]
    injected: int
    survived: int
    skipped: str = ""


def key(number: int | str) -> str:
    """How the report names a scenario."""
    title = SCENARIOS[number].title
    return f"{number:02d} {title}" if isinstance(number, int) else f"{number}: {title}"


def report(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int | str]]:
    """Every scenario with what was injected and survived, and what that shows or why it is not there."""
    told: dict[str, dict[str, int | str]] = {}
    for number, scenario in SCENARIOS.items():
        mine = [outcome for outcome in outcomes if number in outcome.scenarios]
        notes = [scenario.shown, scenario.missing]
        if scenario.shown and not any(outcome.injected for outcome in mine):
            notes = ["Not run.", scenario.missing]
        notes += sorted({f"Skipped: {outcome.skipped}" for outcome in mine if outcome.skipped})
        told[key(number)] = {
            "injected": sum(outcome.injected for outcome in mine),
            "survived": sum(outcome.survived for outcome in mine),
            "note": " ".join(note for note in notes if note),
        }
    return told
