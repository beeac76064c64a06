"""How much regard a backup has for the pool it reads from. The hypervisor service sees to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

PATIENCE = timedelta(minutes=30)
LONGEST_PATIENCE = timedelta(days=1)


class Migration(Enum):
    """What happens to migrations of a VM that is being backed up."""

    FOLLOW = "follow"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Care:
    """``patience`` is how long a VM waits for a pool that cannot take its snapshot now; 0 takes PATIENCE."""

    patience: timedelta = timedelta(0)
    migration: Migration = Migration.FOLLOW

    def complaints(self) -> Iterator[tuple[str, str]]:
        """(field, what is wrong with it)."""
        if not timedelta(0) <= self.patience <= LONGEST_PATIENCE:
            yield "options.care.patience_duration", "must be 0 seconds to one day"
