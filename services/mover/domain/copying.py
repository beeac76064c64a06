"""A copy of restore points to another place, and what came of it."""

from dataclasses import dataclass
from datetime import datetime

from services.chassis.errors import InvalidInput
from services.mover.domain.rates import UNLIMITED, RateLimits


@dataclass(frozen=True, slots=True)
class Copy:
    """``assets`` are UUIDs or names, none for all; ``since`` and ``newest`` (0 for all) narrow the choice."""

    repository_id: str
    target_url: str
    assets: tuple[str, ...] = ()
    since: datetime | None = None
    newest: int = 0
    limits: RateLimits = UNLIMITED

    def __post_init__(self) -> None:
        if self.newest < 0:
            raise InvalidInput(
                f"There are no {self.newest} newest points.",
                reason="NEWEST_INVALID",
                hint="Ask for 1 or more, or 0 for all.",
            )


@dataclass(frozen=True, slots=True)
class LeftPoint:
    """A point that was to be copied and was not, and why."""

    point_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy came to; ``left_points`` are the first of ``left_count``. Sizes in bytes."""

    copied_points: int
    known_points: int
    sent_packs: int
    sent_bytes: int
    left_count: int
    left_points: tuple[LeftPoint, ...]


@dataclass(frozen=True, slots=True)
class Heal:
    """What only damaged packs of a repository hold, stored again from the copy at ``copy_url``."""

    repository_id: str
    copy_url: str


@dataclass(frozen=True, slots=True)
class Healed:
    """What a repair from a copy came to; ``left_blobs`` are not whole in the copy either. Sizes in bytes."""

    damaged_packs: int
    healed_blobs: int
    left_blobs: int
    stored_bytes: int
