"""What the simulator's core may ask of a storage repository (SR): synchronous, thread safe calls.

`services.simulator.storage.sr.Sr` fulfils `StorageRepository`: `Sr.create(folder, size)` makes a new one,
`Sr.open(folder)` takes up an old one with everything it held. Nothing here knows time or random ids:
every uuid is an argument. Errors are `errors.StorageError`, with code and parameters for a XenAPI client.

An SR keeps *nodes*: disks that a client may use, and hidden parents that only chains use (the unmanaged
VDIs of a VHD SR). After any call that changes the set of nodes, `nodes()` tells which VDI records must exist.

Formats, in `services.simulator.storage.codecs` (run them in a thread, piece by piece):

    raw.export(disk), tar.export(disk), vhd.export(disk, base=None, uuid=..)   iterators of bytes
    qcow2.export(disk, base=None)                                              likewise
    raw.RawImport(disk), chunked.ChunkedImport(disk), vhd.VhdImport(disk)      fulfil `DiskImport`
    qcow2.Qcow2Import(disk, folder)                                            likewise, spooling in `folder`
    tar.members(disk, "Ref:4"), tar.member(name, data), tar.ChunkImport(disk)  the disks of an XVA
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SECTOR = 512
BLOCK = 64 * 1024  # granularity of allocation and of changed-block tracking
VHD_BLOCK = 2 * 1024 * 1024
LARGEST = {  # virtual size in bytes by image format
    "vhd": 2040 * 1024**3,  # sm: vhdutil.MAX_VHD_SIZE
    "qcow2": 16381 * 1024**3,  # XCP-ng 8.3, for disks that are too large for VHD
}
STEPS = {  # virtual sizes are multiples of it, and at least one
    "vhd": VHD_BLOCK,  # sm: vhdutil.validate_and_round_vhd_size
    "qcow2": BLOCK,  # xcp-ng/sm: qcow2util.validateAndRoundImageSize
}
MAX_CHAIN_LENGTH = 30  # sm: vhdutil.MAX_CHAIN_SIZE

Progress = Callable[[float], None]  # told how much is done: 0.0 to 1.0


@dataclass(frozen=True)
class Node:
    """One disk or hidden parent as it stands now; sizes in bytes."""

    uuid: str
    parent: str | None  # uuid of the hidden parent: sm_config vhd-parent
    hidden: bool  # True: an unmanaged VDI (managed=false), no client may open it
    metadata_only: bool  # True after data_destroy: only the log is left (type cbt_metadata)
    virtual_size: int
    physical_utilisation: int  # of this node alone, without its parents
    cbt_enabled: bool
    image_format: str  # "vhd" or "qcow2": sm_config image-format; a chain has one format
    chain_length: int  # nodes from this one down to the root: 1 for a disk without parents


@dataclass(frozen=True)
class Usage:
    """Space of an SR in bytes, as SR.physical_size, SR.physical_utilisation and SR.virtual_allocation."""

    physical_size: int
    physical_utilisation: int
    virtual_allocation: int


@dataclass(frozen=True)
class Extent:
    """A run of bytes; `data` False means there is nothing to see: see the call that yields it."""

    offset: int
    length: int
    data: bool


class Disk(Protocol):
    """An open disk, open as long as it is referenced; all openings of one uuid see the same state.

    Reads and writes go on during snapshot, clone, resize and coalescing: a write lands either wholly
    before or wholly after a snapshot. When the disk is destroyed, they fail with DiskMissing.
    """

    @property
    def uuid(self) -> str:
        """Uuid of the node."""

    @property
    def virtual_size(self) -> int:
        """Bytes; grows when the disk is resized."""

    def read_into(self, offset: int, buffer: memoryview | bytearray) -> None:
        """Fill `buffer` from `offset`; both multiples of 512 bytes and within the disk, else OutOfRange."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write, allocate the touched 64 KiB blocks and mark them in the changed-block log.

        Zeroes are written like any data. OutOfRange as for reads; NoSpace when the SR is full, with
        nothing written.
        """

    def write_zeroes(self, offset: int, length: int) -> None:
        """Make the range read as zero; blocks that were never written stay unallocated."""

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        """Cover the range in 64 KiB steps; `data` where the chain was ever written, zero elsewhere."""

    def differences(self, base: str) -> Iterator[Extent]:
        """Cover the disk; `data` where it may differ from node `base` of the same SR.

        That is where either was written above their common ancestor. DiskMissing.
        """


class DiskImport(Protocol):
    """Takes a stream in pieces of any size and fills a disk with it, in bounded memory."""

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. BadImage (also when larger than the disk), NoSpace."""

    def finish(self) -> None:
        """The stream has ended. BadImage when it should not have."""

    @property
    def complete(self) -> bool:
        """True when the format itself says that everything has come (never for raw)."""


class StorageRepository(Protocol):
    """One SR, kept in a folder of its own; survives the end of the process at any moment."""

    # Nodes

    def nodes(self) -> list[Node]:
        """Every disk and hidden parent, as SR.scan would find them."""

    def node(self, uuid: str) -> Node:
        """One of them; DiskMissing."""

    def usage(self) -> Usage:
        """Space now."""

    def resize_repository(self, physical_size: int) -> None:
        """Bytes there are from now on; less than what is used means that the SR is full."""

    def disk(self, uuid: str) -> Disk:
        """Open a disk; DiskMissing when unknown, hidden or metadata only."""

    # Life of a disk

    def create_disk(self, uuid: str, virtual_size: int, image_format: str = "vhd") -> Node:
        """An empty disk, its size rounded up to what the format takes. BadSize, NoSpace."""

    def create_disks(self, sizes: Mapping[str, int], image_format: str = "vhd") -> list[Node]:
        """Empty disks by uuid and virtual size, all at once or none. BadSize, NoSpace."""

    def import_image(
        self, uuid: str, image: Path, virtual_size: int | None = None, image_format: str = "vhd"
    ) -> Node:
        """A disk with the contents of a raw image file; its holes stay unallocated. BadSize, NoSpace."""

    def snapshot(self, uuid: str, new_uuid: str, base_uuid: str) -> Node:
        """Make copy-on-write disk `new_uuid` with the contents of `uuid`; O(1). Returns its node.

        What was the leaf becomes hidden node `base_uuid`, parent of both. No base appears when the leaf
        was empty: the new disk then shares its parent. Of a CBT disk, the leaf's log passes to the
        snapshot, whose cbt_enabled is then True. ChainTooLong, DiskMissing.
        """

    def clone(self, uuid: str, new_uuid: str, base_uuid: str) -> Node:
        """As snapshot, for a disk of its own life: the clone has no CBT, the log stays with `uuid`."""

    def copy(
        self,
        uuid: str,
        target: StorageRepository,
        new_uuid: str,
        base: str | None = None,
        progress: Progress | None = None,
        image_format: str | None = None,
    ) -> Node:
        """A full copy (no shared blocks) as `new_uuid` of `target`, which is created unless it exists, in the
        format of the source unless told otherwise.

        Only written blocks are copied, over what an existing target holds; with `base`, only those that may
        differ from that node. `progress` is called after every piece; what it raises ends the copy, and
        the disk made for it goes. BadSize when an existing target is smaller, or the format too small.
        """

    def revert(self, uuid: str, snapshot: str, base_uuid: str) -> Node:
        """Make disk `uuid` read as `snapshot` again; its CBT is lost."""

    def resize(self, uuid: str, virtual_size: int) -> Node:
        """Grow, rounded up to what the format takes; the log grows with it. BadSize when smaller."""

    def destroy(self, uuid: str) -> None:
        """Remove a disk; its log is merged into its child's. Hidden parents go at the next coalescing."""

    # Coalescing

    def coalesce_step(self) -> bool:
        """Remove or merge the next node that can be; False when nothing is left to do."""

    def coalescing(self) -> str | None:
        """Uuid of the node that is being merged right now."""

    # Changed-block tracking

    def enable_cbt(self, uuid: str) -> None:
        """Start a log; nothing happens when there is one."""

    def disable_cbt(self, uuid: str) -> None:
        """Drop the log: the chain is broken here; older snapshots stay comparable with each other."""

    def activate(self, uuid: str) -> bool:
        """The disk is attached for writing: its log counts as inconsistent until `deactivate`.

        False: it was not deactivated the last time (its host crashed), so its log was dropped, cbt_enabled
        is False now and the core should say VDI_CBT_METADATA_INCONSISTENT.
        """

    def deactivate(self, uuid: str) -> None:
        """It was detached in good order."""

    def data_destroy(self, uuid: str) -> None:
        """Free the data of a snapshot, keep its log and its node (`metadata_only`)."""

    def list_changed_blocks(self, from_uuid: str, to_uuid: str) -> str:
        """Base64 of one bit per 64 KiB of `to_uuid`, block 0 = most significant bit. ChangedBlocksUnknown."""
