"""What belongs to a VM and is not in its own metadata."""

from dataclasses import dataclass
from datetime import datetime

from services.hypervisor.domain.notice import Notice

_NAMED = 5


@dataclass(frozen=True)
class OwnSnapshot:
    """A snapshot somebody took; ``parent_id`` is empty for the first."""

    snapshot_id: str
    display_name: str
    description: str
    time: datetime
    parent_id: str
    with_memory: bool


@dataclass(frozen=True)
class Surroundings:
    """``appliance_id`` is empty without one; ``snapshots`` are not ours, the oldest first."""

    appliance_id: str = ""
    snapshots: tuple[OwnSnapshot, ...] = ()


def described_only(snapshots: tuple[OwnSnapshot, ...]) -> tuple[Notice, ...]:
    """That the data of a VM's own snapshots is not in the point."""
    if not snapshots:
        return ()
    names = ", ".join(repr(each.display_name) for each in snapshots[:_NAMED])
    more = f" and {len(snapshots) - _NAMED} more" if len(snapshots) > _NAMED else ""
    told = f"The VM's own snapshots ({names}{more}) are described in the point; their data is not saved."
    return (Notice("SNAPSHOTS_DESCRIBED", told),)
