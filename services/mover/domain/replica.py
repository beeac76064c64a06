"""An object on its way into a copy."""

from dataclasses import dataclass
from enum import StrEnum

Bytes = bytes | bytearray | memoryview

ARRIVED_WRONG = "REPLICA_ARRIVED_WRONG"
"""The reason when what has arrived is not what was announced, be it for a faulty disk or a faulty sender."""


class Outcome(StrEnum):
    """How taking an object in stands."""

    UNDER_WAY = "under way"
    STORED = "stored"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Announced:
    """What is to come: an object's name, size in bytes, and the SHA-256 of all of it."""

    repository_id: str
    name: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """``durable`` bytes from the beginning survive a crash."""

    durable: int
    outcome: Outcome = Outcome.UNDER_WAY


@dataclass(frozen=True, slots=True)
class Small:
    """A whole object that is sent together with others."""

    name: str
    sha256: bytes
    data: Bytes


SMALL_BYTES = 1 << 20
"""Most a small object has."""
SENT_TOGETHER = 64
"""Most small objects that are sent together ..."""
SENT_TOGETHER_BYTES = 1 << 20
"""... and the most they have, all of them."""
ASKED_TOGETHER = 256
"""Most names in one question."""
