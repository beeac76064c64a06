"""What each independent client found: counted, with the reason of everything that did not pass."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

REASON_LENGTH = 500
"""Characters of a reason in the table."""


class Skip(Exception):
    """This check, or this client, cannot be tried here; the text says why."""


@dataclass
class Tally:
    """One client's results; ``failed`` and ``skipped`` are (check, reason)."""

    client: str
    passed: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Count the block; its error, whatever it is, is the client's verdict and does not travel on."""
        try:
            yield
        except Skip as skip:
            self.skipped.append((name, str(skip)))
        except Exception as error:  # noqa: BLE001 - the boundary between a check and the report
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            self.failed.append((name, f"{type(error).__name__} in {where}: {error}"))
        else:
            self.passed.append(name)

    @property
    def counts(self) -> dict[str, int]:
        return {
            "passed": len(self.passed),
            "failed": len(self.failed),
            "skipped": len(self.skipped),
        }


def write_json(path: Path, tallies: Iterable[Tally]) -> None:
    """``{client: {passed, failed, skipped}}``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({tally.client: tally.counts for tally in tallies}, indent=2) + "\n", "utf-8")
    draft.replace(path)


def table(tallies: list[Tally]) -> str:
    """For people: the counts, every failure, and each reason to skip once with how often it applied."""
    width = max(len(tally.client) for tally in tallies)
    lines = [f"{'client':{width}}  passed  failed  skipped"]
    for tally in tallies:
        passed, failed, skipped = tally.counts.values()
        lines.append(f"{tally.client:{width}}  {passed:6}  {failed:6}  {skipped:7}")
    for tally in tallies:
        lines += [f"{tally.client} FAILED {name}: {reason[:REASON_LENGTH]}" for name, reason in tally.failed]
        reasons: dict[str, int] = {}
        for _, reason in tally.skipped:
            reasons[reason] = reasons.get(reason, 0) + 1
        lines += [f"{tally.client} skipped {count}: {reason}" for reason, count in reasons.items()]
    return "\n".join(lines)
