"""What is asked of a store before it is trusted, and what is answered."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, runtime_checkable

from services.mover.repository.store import LockingStore


class Verdict(StrEnum):
    """How a check ended: as it must be, with something to bear in mind, unfit."""

    GOOD = "good"
    LIMITED = "limited"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """One check and what its outcome means."""

    check: str
    verdict: Verdict
    message: str


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What a store says of itself; ``clock_ahead`` of this machine's.

    ``locks_everything``: whatever is put is locked, asked or not. None is what it does not tell us, for the
    reason that ``untold`` is.
    """

    versioned: bool | None
    object_lock: bool | None
    clock_ahead: timedelta | None
    locks_everything: bool = False
    untold: str = ""


@dataclass(frozen=True, slots=True)
class LockTrial:
    """What happened to an object that was to be locked for a moment."""

    locked: bool
    refuses_deletion: bool
    refuses_shortening: bool

    @property
    def held(self) -> bool:
        return self.locked and self.refuses_deletion and self.refuses_shortening


@runtime_checkable
class TellingStore(Protocol):
    """A store that knows more of itself than objects."""

    def facts(self) -> StoreFacts | None:
        """None: it does not, after all."""
        ...


@runtime_checkable
class FileSystemStore(Protocol):
    """A store in a file system."""

    def file_system(self) -> str | None:
        """Its type, as the kernel names it; None when that is not known."""
        ...


@runtime_checkable
class LockTryingStore(LockingStore, Protocol):
    """A store whose locks can be tried."""

    def try_lock(self, name: str, until: datetime) -> LockTrial:
        """Put an empty object that is locked until then, and try to get around it."""
        ...


@dataclass(slots=True)
class ProbeReport:
    """Findings in the order they were made. Throughput in bytes a second, 0 when it was not measured."""

    location: str
    findings: list[ProbeFinding] = field(default_factory=list)
    write_rate: float = 0.0
    read_rate: float = 0.0
    clock_ahead: timedelta | None = None

    @property
    def usable(self) -> bool:
        """Whether a repository can be kept here."""
        return all(finding.verdict is not Verdict.BAD for finding in self.findings)

    def add(self, check: str, verdict: Verdict, message: str) -> None:
        self.findings.append(ProbeFinding(check, verdict, message))
