"""What a person is told: notices about work that went on, and why work failed."""

from dataclasses import dataclass

from services.chassis.errors import XenkeepError


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to know although the work went on. ``code`` is UPPER_SNAKE and stable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed; ``kind`` is the name of a leaf of the error tree."""

    kind: str
    reason: str
    message: str
    hint: str = ""


def failure_of(error: XenkeepError) -> Failure:
    """The same facts as a value that can be kept."""
    return Failure(error.kind, error.reason, error.message, error.hint)
