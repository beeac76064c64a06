"""What belongs to a VM and is not in its own metadata."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from services.hypervisor.domain.notice import Notice

_NAMED = 5


@dataclass(frozen=True)
class OwnSnapshot:
    """A snapshot somebody took; ``parent_id`` is empty for the first. ``saved``: the point has its
    disks, ``memory_saved``: its memory too."""

    snapshot_id: str
    display_name: str
    description: str
    time: datetime
    parent_id: str
    with_memory: bool
    saved: bool = False
    memory_saved: bool = False


@dataclass(frozen=True)
class Surroundings:
    """``appliance_id`` is empty without one; ``snapshots`` are not ours, the oldest first."""

    appliance_id: str = ""
    snapshots: tuple[OwnSnapshot, ...] = ()


def own_device(snapshot_id: str, device: str) -> str:
    """Where a disk of a VM's own snapshot is among the disks of a point."""
    return f"snapshot-{snapshot_id}-{device}"


def described_only(snapshots: tuple[OwnSnapshot, ...]) -> tuple[Notice, ...]:
    """That the data of a VM's own snapshots is not in the point, or of some only their disks."""
    described = tuple(each for each in snapshots if not each.saved)
    return (*_described(described), *_without_memory(snapshots))


def _described(snapshots: tuple[OwnSnapshot, ...]) -> tuple[Notice, ...]:
    if not snapshots:
        return ()
    names = ", ".join(repr(each.display_name) for each in snapshots[:_NAMED])
    more = f" and {len(snapshots) - _NAMED} more" if len(snapshots) > _NAMED else ""
    told = f"The VM's own snapshots ({names}{more}) are described in the point; their data is not saved."
    return (Notice("SNAPSHOTS_DESCRIBED", told),)


def _without_memory(snapshots: tuple[OwnSnapshot, ...]) -> Iterator[Notice]:
    for each in snapshots:
        if each.saved and each.with_memory and not each.memory_saved:
            told = (
                f"Of the VM's own snapshot {each.display_name!r} the disks are saved, the memory is not: its "
                "image cannot be read, or rules leave disks out. A VM that is made of it starts anew."
            )
            yield Notice("SNAPSHOT_MEMORY_NOT_SAVED", told)
