"""What the pool in memory consists of.

A disk is a map from block numbers (64 KiB) to contents; tracking compares those maps.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.chassis.clock import Clock
from services.chassis.errors import (
    InvalidInput,
    NotFound,
)
from services.chassis.ids import IdSource
from services.hypervisor.domain.memory import Cpu, HostCpu
from services.hypervisor.domain.surroundings import OwnSnapshot
from services.hypervisor.domain.tracking import TrackedDisk, Tracking
from services.hypervisor.domain.vm import PowerState

BLOCK_BYTES = 64 * 1024
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass
class MemoryDisk:
    """Snapshots of ours have ``snapshot_of`` and ``source_id``, disks being written ``target_id``.
    ``lineage`` is set on what stays of a snapshot for the next incremental; ``parents`` nearest first;
    ``unread``: why nobody can tell what was ever written."""

    disk_id: str
    name: str
    size_bytes: int
    sr_id: str = "sr-1"
    tracked: bool = False
    snapshot_of: str = ""
    source_id: str = ""
    target_id: str = ""
    made_for: str = ""
    data_kept: bool = True
    obstacle: str = ""
    failed: bool = False
    lineage: str | None = None
    parents: tuple[str, ...] = ()
    taken: datetime = _LONG_AGO
    blocks: dict[int, bytes] = field(default_factory=dict)
    image_format: str = ""
    unread: str = ""


@dataclass
class MemoryVm:
    """``disks`` by device. Snapshots of ours have ``source_id``, VMs being restored ``target_id``.

    ``reacts``: to a request to shut down; ``blocked_start``: why it does not start; ``quiesces``: the pool
    can freeze it; ``image``: its suspend image, while it is suspended; ``gpus``: types of its virtual GPUs.
    """

    vm_id: str
    name: str
    disks: dict[str, str] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    power_state: PowerState = PowerState.HALTED
    source_id: str = ""
    target_id: str = ""
    reacts: bool = True
    host_id: str = ""
    blocked_start: str = ""
    quiesces: bool = False
    quiesced: bool = False
    keys: str = ""
    appliance_id: str = ""
    blocked_operations: dict[str, str] = field(default_factory=dict)
    own_snapshots: tuple[OwnSnapshot, ...] = ()
    memory_obstacle: str = ""
    template: bool = False
    gpus: tuple[str, ...] = ()
    domain_controller_hint: str = ""
    image: str = ""
    cpu: Cpu = field(default_factory=lambda: Cpu("GenuineIntel", ""))


@dataclass
class MemoryTicket:
    """``written``: None while it is being written, False when that failed."""

    disk_id: str
    written: bool | None = None


class MemoryObjects:
    """The VMs, disks and storage of a pool in memory; what each part of ``MemoryPool`` works on."""

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self._clock = clock
        self._ids = ids
        self.vms: dict[str, MemoryVm] = {}
        self.disks: dict[str, MemoryDisk] = {}
        self.srs = {"sr-1": "Shared storage", "sr-2": "Other storage"}
        self.sr_formats: dict[str, tuple[str, ...]] = {}
        self.tickets: dict[str, MemoryTicket] = {}
        self.readable = True
        self.cpus = (HostCpu("host-1", "host 1", "GenuineIntel", "ffffffff", "ffffffff"),)
        self.tracking = Tracking.SWITCHED_ON
        self.layered = True
        self.appliances: set[str] = set()
        self.gpu_types: set[str] = set()
        self.own_disks: dict[str, dict[str, str]] = {}
        self.own_images: dict[str, str] = {}

    def add_disk(self, name: str, size_bytes: int = 1024 * 1024) -> MemoryDisk:
        """A disk of somebody's."""
        disk = MemoryDisk(self._ids.new(), name, size_bytes)
        self.disks[disk.disk_id] = disk
        return disk

    def add_vm(self, name: str, *disks: MemoryDisk) -> MemoryVm:
        """A VM of somebody's."""
        vm = MemoryVm(self._ids.new(), name, {str(i): disk.disk_id for i, disk in enumerate(disks)})
        vm.macs = {"0": f"02:00:00:00:00:{len(self.vms):02x}"}
        self.vms[vm.vm_id] = vm
        return vm

    def take_own_snapshot(self, vm: MemoryVm, name: str, *, memory: bool = False) -> OwnSnapshot:
        """As somebody takes one; its disks are in ``own_disks`` by device, its image in ``own_images``."""
        parent = vm.own_snapshots[-1].snapshot_id if vm.own_snapshots else ""
        taken = OwnSnapshot(self._ids.new(), name, "", self._clock.now(), parent, with_memory=memory)
        copies = {}
        for device, disk_id in vm.disks.items():
            disk = self.disks[disk_id]
            copy = replace(disk, disk_id=self._ids.new(), snapshot_of=disk_id, blocks=dict(disk.blocks))
            self.disks[copy.disk_id] = copy
            copies[device] = copy.disk_id
        self.own_disks[taken.snapshot_id] = copies
        if memory:
            image = self.own_images[taken.snapshot_id] = self.add_disk("Suspend image").disk_id
            self.disks[image].blocks = {0: vm.vm_id.encode()}
        vm.own_snapshots = (*vm.own_snapshots, taken)
        return taken

    def move_disk(self, disk_id: str) -> str:
        """As a pool moves it to other storage: it and what snapshots of VMs show of it become other disks,
        which bear no marks of ours."""
        shows = [vm.disks for vm in self.vms.values()] + list(self.own_disks.values())
        shown = {disk for disks in shows for disk in disks.values()}
        moving = [each for each in self.disks.values() if disk_id in (each.disk_id, each.snapshot_of)]
        places = {each.disk_id: self._ids.new() for each in moving if each.disk_id in shown}
        for old, new in places.items():
            disk = replace(self.disks.pop(old), disk_id=new, sr_id="sr-2", source_id="", lineage=None)
            disk.snapshot_of = places.get(disk.snapshot_of, disk.snapshot_of)
            self.disks[new] = disk
        for disks in shows:
            disks |= {device: places.get(disk, disk) for device, disk in disks.items()}
        return places[disk_id]

    def _resume(self, vm: MemoryVm) -> None:
        self.disks.pop(vm.image, None)
        vm.power_state, vm.image = PowerState.RUNNING, ""

    def _vm(self, vm_id: str) -> MemoryVm:
        vm = self.vms.get(vm_id)
        if vm is None:
            raise NotFound(f"There is no VM {vm_id}.", reason="VM_UNKNOWN")
        if vm.source_id:
            raise InvalidInput(f"{vm_id} is a snapshot.", reason="VM_NOT_PROTECTABLE")
        return vm

    def _facts(self, disk: MemoryDisk) -> TrackedDisk:
        origin = disk.snapshot_of if disk.snapshot_of in self.disks else ""
        return TrackedDisk(origin, disk.sr_id, disk.size_bytes, disk.tracked)
