"""A connected pool, as a sum of small ports. Everything is named by UUID; references stay in the adapters.

Every method bridges a lost session, a moved coordinator or a dead member for a bounded time by itself, and is
safe to repeat unless it says otherwise. Besides what is written there, each raises

- Unavailable POOL_UNREACHABLE when no member answers,
- Unauthenticated POOL_CREDENTIALS_REFUSED, FailedPrecondition CERTIFICATE_CHANGED,
- any other kind when the pool refuses, with the pool's code in ``metadata["pool_code"]``.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.chassis.config import Secret
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.differences import Layers
from services.hypervisor.domain.memory import Cpu, HostCpu
from services.hypervisor.domain.pool import Certificate, Member, Picture, Pool
from services.hypervisor.domain.surroundings import Surroundings
from services.hypervisor.domain.target import AttachedDisk
from services.hypervisor.domain.tracking import TrackedDisk, TrackingOutcome
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.care import Migrations, Storage
from services.hypervisor.ports.guests import GuestPower
from services.hypervisor.ports.metadata import PoolMetadata


@dataclass(frozen=True)
class Introduction:
    """What a pool says of itself when it is added."""

    pool_id: str
    display_name: str
    product: str
    coordinator: str
    members: tuple[Member, ...]
    missing_rights: tuple[str, ...]


@dataclass(frozen=True)
class VmDisk:
    """A disk of a live VM. ``obstacle`` is why it cannot be snapshotted, empty when it can; ``failed``: it
    should be possible, and is not now."""

    configured: ConfiguredDisk
    size_bytes: int
    tracked: bool
    obstacle: str
    sr_display_name: str = ""
    failed: bool = False


@dataclass(frozen=True)
class VmShape:
    """What a backup source needs to know of a VM before its snapshot; disks by device, no CDs."""

    display_name: str
    disks: tuple[VmDisk, ...]
    interfaces: tuple[ConfiguredInterface, ...]


@dataclass(frozen=True)
class SnapshotDisk:
    """A disk of a snapshot: ``facts.disk_id`` is the live disk, ``snapshot_disk_id`` its snapshot."""

    snapshot_disk_id: str
    device: str
    facts: TrackedDisk


@dataclass(frozen=True)
class SuspendImage:
    """The memory in a snapshot: a disk that is read like the others."""

    snapshot_disk_id: str
    sr_id: str
    size_bytes: int
    cpu: Cpu


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of ours; ``time`` by the pool's clock. ``quiesced``: the guest was frozen by the pool.
    ``memory`` is there if it was taken with memory."""

    snapshot_vm_id: str
    time: datetime
    power_state: PowerState
    disks: tuple[SnapshotDisk, ...]
    quiesced: bool = False
    memory: SuspendImage | None = None


@dataclass(frozen=True)
class NbdEndpoint:
    """A place to read a disk by NBD over TLS. ``export_name`` carries a session: a secret.
    ``max_connections`` is the source's share of the host; 0 when none was given out.
    """

    host_id: str
    address: str
    port: int
    export_name: Secret
    certificate_pem: str
    server_name: str
    max_connections: int = 0


@dataclass(frozen=True)
class WriteEndpoint:
    """A place to write a disk by HTTPS PUT. ``url`` carries a session: a secret."""

    host_id: str
    url: Secret
    certificate_pem: str


@dataclass(frozen=True)
class Leftovers:
    """Ids of the backup sources and restore targets whose tags are in a pool. ``own_ids`` are those of both
    that this installation made; the others may be another Xenkeep's."""

    source_ids: frozenset[str]
    target_ids: frozenset[str]
    own_ids: frozenset[str]


class Inventory(Protocol):
    """What the pool consists of, as it changes."""

    def learn(self, members: tuple[Member, ...], coordinator: str) -> None:
        """Where the hosts are to be found from now on, and what they present."""
        ...

    def watch(self) -> AsyncIterator[Picture]:
        """A first complete picture, then one after every change, within 2 s of the pool's own event.

        A lost session or a moved coordinator leads to a complete new look, not to the end. Ends by raising.
        """
        ...

    async def members(self) -> tuple[Member, ...]:
        """The hosts and their certificates, learned from the coordinator."""
        ...


class Snapshots(Protocol):
    """Taking and removing snapshots of ours. Never touches an object that does not carry our tag."""

    async def assert_readable(self) -> None:
        """Raises FailedPrecondition NBD_NOT_ENABLED when no network of the pool may carry NBD over TLS."""
        ...

    async def shape(self, vm_id: str) -> VmShape:
        """Raises NotFound VM_UNKNOWN; InvalidInput VM_NOT_PROTECTABLE for templates, snapshots, dom0."""
        ...

    async def track(self, disk_id: str) -> TrackingOutcome:
        """Makes the pool track changed blocks of a live disk; a refusal is an outcome, not an error."""
        ...

    async def has_snapshot(self, vm_id: str, source_id: str) -> bool:
        """Whether the snapshot was taken; one that is being taken is waited for."""
        ...

    async def take_snapshot(
        self,
        vm_id: str,
        source_id: str,
        leave_out: Collection[str],
        quiesce: bool = False,
        memory: bool = False,
    ) -> Snapshot:
        """The snapshot tagged with ``source_id``: the one that exists, or a new one without the live disks
        ``leave_out``. Killed at any step, the next call finds what was made.

        ``quiesce`` has the pool freeze the guest for it, which excludes ``leave_out``; raises
        FailedPrecondition QUIESCE_IMPOSSIBLE. ``memory`` has the pool capture the memory of a running or
        suspended VM with its disks, which excludes ``leave_out`` too; raises FailedPrecondition
        MEMORY_IMPOSSIBLE with why in ``metadata["why"]``. A running VM stands still meanwhile; if the pool
        dies then, it stays suspended.
        """
        ...

    async def export_configuration(self, vm_id: str) -> bytes:
        """The pool's metadata export of the VM, without its snapshots."""
        ...

    async def surroundings(self, vm_id: str) -> Surroundings:
        """What belongs to a VM beside its own metadata; of a VM that is gone nothing."""
        ...

    async def tracked_disk(self, snapshot_disk_id: str) -> TrackedDisk | None:
        """What the pool has of a snapshot's disk, or None."""
        ...

    async def changed_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        """The bitmap of blocks (64 KiB a bit, most significant first) changed from one snapshot to the next,
        or the pool's words when it cannot tell."""
        ...

    async def allocated_blocks(self, snapshot_disk_id: str) -> bytes | str:
        """The bitmap (as above) of blocks that were ever written, or why nobody can tell. Never an error:
        without it everything is read."""
        ...

    async def layers(self, snapshot_disk_id: str) -> Layers | None:
        """What the disk of a snapshot is made of, or None when it is gone."""
        ...

    async def differing_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        """The bitmap (as above) of blocks that may differ from a base that has its data still, or why nobody
        can tell. It may say too much, never too little if the base's parent is one of the snapshot's."""
        ...

    async def nbd_endpoints(self, snapshot_disk_ids: tuple[str, ...]) -> dict[str, tuple[NbdEndpoint, ...]]:
        """Where each disk can be read now, on live hosts only; empty when nowhere."""
        ...

    async def remove_snapshot(
        self, source_id: str, keep_tracking: bool, lineage: str = "", with_data: Collection[str] = ()
    ) -> None:
        """Removes everything tagged with ``source_id``. With ``keep_tracking``, disks of the snapshot stay as
        what the next incremental of ``lineage`` starts from: tracked ones are reduced to their tracking data,
        those in ``with_data`` (UUIDs) stay whole. What was kept before for the same disks and lineage goes,
        and the oldest of other lineages when there are more than a disk may have."""
        ...


class Restores(Protocol):
    """Making disks and VMs. Never touches an object that does not carry our tag, except where it says so."""

    async def choose_sr(self, wanted: str, original_sr_id: str) -> str:
        """UUID of the SR: ``wanted`` by UUID or name, else the original one, else the pool's default.

        Raises NotFound SR_UNKNOWN, InvalidInput SR_AMBIGUOUS, FailedPrecondition NO_SR.
        """
        ...

    async def make_disk(self, target_id: str, disk: ConfiguredDisk, size_bytes: int, sr_id: str) -> str:
        """UUID of the disk tagged with ``target_id`` for ``disk.disk_id``: the one there is, or a new one. At
        the device "memory" it is a suspend image."""
        ...

    async def open_ticket(self, new_disk_id: str) -> str:
        """A task the writing of the disk completes, instead of any before."""
        ...

    async def ticket_state(self, ticket: str) -> bool | None:
        """True: written completely; None: not finished yet.

        Raises Aborted WRITE_FAILED with the pool's words, Aborted WRITE_TICKET_LOST when the pool forgot it.
        """
        ...

    async def drop_tickets(self, new_disk_id: str) -> None:
        """Cancels and forgets the tickets of a disk, finished or not."""
        ...

    async def write_endpoint(self, new_disk_id: str, ticket: str) -> WriteEndpoint:
        """Where the disk can be written now: a live host that sees its SR."""
        ...

    async def attached_disks(self, vm_id: str) -> tuple[AttachedDisk, ...] | None:
        """The disks of any VM (no CDs), or None when there is no such VM."""
        ...

    async def shut_down(self, vm_id: str, patience_s: float) -> bool:
        """Halts a VM: cleanly, and after ``patience_s`` seconds, or when it cannot be asked, hard.

        Returns False when it had to be hard. A halted VM is left alone.
        """
        ...

    async def host_cpus(self) -> tuple[HostCpu, ...]:
        """The processors of the hosts a VM could be resumed on."""
        ...

    async def suspend_image(self, vm_id: str) -> str:
        """UUID of the disk with the memory of a suspended VM; empty for any other."""
        ...

    async def find_vm(self, target_id: str) -> str | None:
        """UUID of the VM tagged with ``target_id``."""
        ...

    async def import_vm(
        self,
        target_id: str,
        archive: bytes,
        disks: Mapping[str, str],
        name: str,
        original: str | None,
        *,
        keys: bool = True,
        memory: str = "",
    ) -> None:
        """Makes the VM of ``archive`` with each disk replaced by the one ``disks`` names, tagged with
        ``target_id``. ``original`` is the UUID it keeps (a halted VM of that UUID is replaced, its disks are
        left); None makes a new VM called ``name``. Disks not in ``disks`` are left out, and key
        material unless ``keys``. ``memory`` is the key in ``disks`` of the suspend image: the VM is suspended
        with it, and halted without.

        Not safe to repeat: look with ``find_vm`` first. May have happened when it raises Unavailable.
        """
        ...

    def has_key_material(self, archive: bytes) -> bool:
        """Whether the archive of a VM holds a virtual TPM or UEFI variables."""
        ...

    async def complete_vm(self, vm_id: str, archive: bytes, appliance_id: str) -> tuple[str, ...]:
        """Puts back what an import leaves behind; what could not be, one clause each. Safe to repeat."""
        ...

    async def set_macs(self, vm_id: str, interfaces: Collection[ConfiguredInterface]) -> None:
        """Gives the interfaces of a VM of ours the MAC addresses they had."""
        ...

    async def release(self, target_id: str, vm_id: str) -> None:
        """Takes our tags off the VM and its disks: they belong to their owner now."""
        ...

    async def remove_replaced(self, disk_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Removes disks (not tagged: a restore over their VM replaced them) and tracking data of ours for
        them. A disk another VM uses is left; its UUID is returned."""
        ...

    async def start_vm(self, vm_id: str) -> None:
        """Starts a VM, or resumes it; one that runs is left alone."""
        ...

    async def remove_target(self, target_id: str) -> None:
        """Removes the VM and the disks tagged with ``target_id``, unless a VM of somebody else uses them."""
        ...


class Leavings(Protocol):
    """Finding what a crash left behind."""

    async def leftovers(self) -> Leftovers:
        """Ids of every tag of ours in the pool; copies of tags on objects that are not ours do not count."""
        ...

    async def remove_orphans(self) -> int:
        """Removes what was kept for incrementals of disks that are gone; how many."""
        ...

    async def remove_stale(self, tracking_before: datetime, data_before: datetime) -> tuple[str, ...]:
        """Removes what was kept for incrementals and is of a snapshot from before these moments (tracking
        data, whole snapshots): the UUIDs of the disks that have to be read fully next time."""
        ...


class PoolConnection(
    Inventory, Snapshots, GuestPower, Storage, Migrations, Restores, Leavings, PoolMetadata, Protocol
):
    """A pool we are logged in to, or will be at the first call."""

    async def close(self) -> None:
        """Logs out as far as possible; never raises."""
        ...


class PoolGateway(Protocol):
    """The way to pools."""

    async def probe(self, address: str) -> Certificate:
        """The certificate presented at ``host`` or ``host:port``; Unavailable POOL_UNREACHABLE."""
        ...

    async def introduce(
        self, address: str, username: str, password: Secret, certificate_sha256: str
    ) -> tuple[Introduction, int]:
        """Logs in at any member that presents that certificate; (what the pool says, HTTPS port).

        Raises FailedPrecondition CERTIFICATE_CHANGED before anything is sent when another one is presented,
        FailedPrecondition COORDINATOR_UNTRUSTED when a supporter cannot vouch for its coordinator.
        """
        ...

    def connect(self, pool: Pool, password: Secret) -> PoolConnection:
        """A connection that logs in when it is first used."""
        ...
