"""How a transfer ended well, and what is to be told besides."""

from dataclasses import dataclass

from services.mover.domain.facts import Fact
from services.mover.domain.transfer import Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """``facts`` are announced together with the end of the transfer."""

    result: Result
    facts: tuple[Fact, ...] = ()
