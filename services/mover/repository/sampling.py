"""Which packs a verification by sample reads: those that come next in the order of their hashes.

The order has nothing to do with content or age, so a sample is a fair one; and it goes around, so whoever
begins each sample where the last one ended has read every pack after a known number of them.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from services.chassis.errors import InvalidInput
from services.mover.repository.index import PackInfo
from services.mover.repository.packlisting import PackListing

_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """``share`` of the packs (0: no limit), ``count`` of them at most (0: no limit), from ``start`` on.

    ``start`` is 64 hexadecimal digits: ``Sampled.next_start`` of the sample before, or ``start_at``.
    Raises InvalidInput for what is no sample.
    """

    start: str
    share: float = 0.0
    count: int = 0

    def __post_init__(self) -> None:
        if not is_start(self.start):
            raise InvalidInput(
                "The start of a sample is not usable.",
                reason="SAMPLE_INVALID",
                hint="Give 64 hexadecimal digits, or leave it out.",
            )
        if not (0 <= self.share <= 1 and self.count >= 0 and (self.share or self.count)):
            raise InvalidInput(
                f"A sample cannot be of {self.share:.0%} and {self.count} packs.",
                reason="SAMPLE_INVALID",
                hint="Ask for a share above 0 and up to 100 %, for a number of packs, or both.",
            )


@dataclass(frozen=True, slots=True)
class Sampled:
    """How much a sample covered: packs and bytes that were read, and that there are."""

    checked_packs: int
    packs: int
    checked_bytes: int
    pack_bytes: int
    next_start: str


def start_at(moment: datetime) -> str:
    """Where the first sample begins: anywhere, settled by the time."""
    return hashlib.sha256(moment.astimezone(UTC).isoformat().encode()).hexdigest()


def is_start(text: str) -> bool:
    return len(text) == _DIGITS and set(text) <= set("0123456789abcdef")


def picked(packs: PackListing, sample: Sample) -> tuple[Iterator[PackInfo], str]:
    """The packs of a sample, one at least if there are any, and where the next one begins."""
    count, _ = packs.total()
    if not count:
        return iter(()), sample.start
    limits = [math.ceil(sample.share * count)] if sample.share else []
    limits += [sample.count] if sample.count else []
    wanted = min(count, *limits)
    start = bytes.fromhex(sample.start)
    following = next(islice(packs.around(start), wanted % count, None))
    return islice(packs.around(start), wanted), following.sha256.hex()
