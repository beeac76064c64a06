"""Whether a pool can bear a snapshot of a VM now.

Facts of the storage manager (sm: drivers/LVHDSR.py ``_snapshot``, drivers/vhdutil.py, drivers/cleanup.py): a
chain of more than 30 images cannot be opened; a hidden image with a single child is waiting to be coalesced;
on LVM that is not thin a snapshot reserves the disk's whole virtual size again.
"""

from dataclasses import dataclass
from enum import Enum

SEGMENT_BYTES = 4 << 20
"""LVM hands out room in these."""
VHD_BLOCK_BYTES = 2 << 20
THICK_TYPES = frozenset({"lvm", "lvmohba", "lvmoiscsi", "lvmofcoe", "lvmobond"})


class Moves(Enum):
    """What a VM can be kept from: being moved in any way, or having its disks moved to other storage or to
    another pool."""

    ANY = "any"
    OF_DISKS = "of disks"


@dataclass(frozen=True)
class CareLimits:
    """``longest_chain`` and ``most_uncoalesced`` count the hidden images below a disk; ``reserve_percent`` of
    a storage repository stay free.
    """

    longest_chain: int = 24
    most_uncoalesced: int = 3
    reserve_percent: int = 2


@dataclass(frozen=True)
class Chain:
    """What lies below a disk: ``length`` hidden images, ``uncoalesced`` of which have a single child."""

    display_name: str
    sr_display_name: str
    length: int
    uncoalesced: int


@dataclass(frozen=True)
class Room:
    """A storage repository; ``size_bytes`` is 0 where its driver does not tell. ``cost_bytes`` is the most
    that the snapshot may take at once.
    """

    display_name: str
    size_bytes: int
    used_bytes: int
    cost_bytes: int


@dataclass(frozen=True)
class SnapshotFacts:
    """What a snapshot of a VM would meet. ``migrating``: the VM or its disks are on the move."""

    chains: tuple[Chain, ...]
    rooms: tuple[Room, ...]
    migrating: bool = False


@dataclass(frozen=True)
class Hindrance:
    """Why a snapshot has to wait; ``reason`` as in the contract."""

    reason: str
    message: str
    hint: str


MIGRATING = Hindrance(
    "VM_MIGRATING",
    "The VM is being migrated, or disks of it to other storage: the pool takes no snapshot meanwhile.",
    "Wait until it has ended; the pool's tasks say how far it is.",
)


@dataclass(frozen=True)
class Hindered:
    """A VM whose snapshot was refused. ``left_out`` are the UUIDs of the disks it would have been without."""

    vm_id: str
    left_out: tuple[str, ...] = ()


def snapshot_cost(thick: bool, virtual_bytes: int) -> int:
    """The most a snapshot of a disk takes at once, in bytes.

    Thin: the header and the block table of the new image, 4 bytes per 2 MiB. Thick: room for every block of
    the disk besides, two journals, and the small image of the snapshot itself. What the storage manager gets
    back by deflating the old image is not counted on.
    """
    table = 64 * 1024 + 4 * (virtual_bytes // VHD_BLOCK_BYTES + 1)
    if not thick:
        return 2 * table
    bitmaps = virtual_bytes // VHD_BLOCK_BYTES * 512
    whole = -(-(virtual_bytes + bitmaps + table) // SEGMENT_BYTES) * SEGMENT_BYTES
    return whole + 4 * SEGMENT_BYTES


def hindrance(facts: SnapshotFacts, limits: CareLimits) -> Hindrance | None:
    """The first thing that forbids a snapshot now."""
    if facts.migrating:
        return MIGRATING
    for chain in facts.chains:
        disk = f"Disk {chain.display_name!r} on {chain.sr_display_name!r}"
        if chain.length >= limits.longest_chain:
            return Hindrance(
                "DISK_CHAIN_LONG",
                f"{disk} stands on {chain.length} images; a snapshot is taken below {limits.longest_chain}.",
                "Remove old snapshots of the VM and let the storage repository coalesce.",
            )
        if chain.uncoalesced > limits.most_uncoalesced:
            return Hindrance(
                "SR_COALESCING",
                f"{disk} has {chain.uncoalesced} images that wait to be coalesced; "
                f"a snapshot is taken with {limits.most_uncoalesced} at most.",
                "Let the storage repository coalesce; the coordinator's SMlog says what keeps it from that.",
            )
    for room in facts.rooms:
        if room.size_bytes <= 0:
            continue
        free, kept = room.size_bytes - room.used_bytes, room.size_bytes * limits.reserve_percent // 100
        if free - room.cost_bytes < kept:
            return Hindrance(
                "SR_SPACE_LOW",
                f"Storage repository {room.display_name!r} has {_size(max(free, 0))} free; the snapshot may "
                f"take {_size(room.cost_bytes)}, and {_size(kept)} are to stay free.",
                "Free space on it, enlarge it, or leave large disks out of the backup.",
            )
    return None


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
