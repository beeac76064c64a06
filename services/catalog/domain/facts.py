"""What follows from a change of a restore point."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.catalog.domain.point import RestorePoint


@dataclass(frozen=True, slots=True)
class Added:
    """It can be found in the catalog."""

    restore_point: RestorePoint


@dataclass(frozen=True, slots=True)
class Removed:
    """It is no longer in its repository."""

    restore_point: RestorePoint


@dataclass(frozen=True, slots=True)
class Verified:
    """A verification found it whole."""

    restore_point: RestorePoint


@dataclass(frozen=True, slots=True)
class Damaged:
    """It cannot be restored completely, which was not known before."""

    restore_point: RestorePoint


Fact = Added | Removed | Verified | Damaged


def facts_of(before: RestorePoint | None, after: RestorePoint) -> Iterator[Fact]:
    """Each fact once: the same change made twice has none the second time."""
    if after.point.readable and not (before and before.point.readable):
        yield Added(after)
    was = before.health if before else None
    if after.health.verify_time and after.health.verify_time != (was and was.verify_time):
        yield Verified(after)
    if after.health.damaged and not (was and was.damaged):
        yield Damaged(after)
