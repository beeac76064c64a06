"""A pool in memory: what the use cases are tested against, held to the same law as the real one.

A disk is a map from block numbers (64 KiB) to contents; tracking compares those maps.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from services.chassis.ids import IdSource
from services.hypervisor.adapters.memory_care import MemoryCare
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.differences import Layers
from services.hypervisor.domain.memory import IMPOSSIBLE, Cpu, HostCpu
from services.hypervisor.domain.pool import Host, Member, Picture
from services.hypervisor.domain.surroundings import OwnSnapshot, Surroundings
from services.hypervisor.domain.target import AttachedDisk
from services.hypervisor.domain.tracking import TrackedDisk, Tracking, TrackingOutcome
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.guests import Guest
from services.hypervisor.ports.leavings import Leftovers
from services.hypervisor.ports.readers import NbdEndpoint
from services.hypervisor.ports.restores import WriteEndpoint
from services.hypervisor.ports.snapshots import Snapshot, SnapshotDisk, SuspendImage, VmDisk, VmShape

BLOCK_BYTES = 64 * 1024
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass
class MemoryDisk:
    """Snapshots of ours have ``snapshot_of`` and ``source_id``, disks being written ``target_id``.
    ``lineage`` is set on what stays of a snapshot for the next incremental; ``parents`` nearest first."""

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


@dataclass
class MemoryVm:
    """``disks`` by device. Snapshots of ours have ``source_id``, VMs being restored ``target_id``.

    ``reacts``: to a request to shut down; ``blocked_start``: why it does not start; ``quiesces``: the pool
    can freeze it; ``image``: its suspend image, while it is suspended.
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
    domain_controller_hint: str = ""
    image: str = ""
    cpu: Cpu = field(default_factory=lambda: Cpu("GenuineIntel", ""))


@dataclass
class MemoryTicket:
    """``written``: None while it is being written, False when that failed."""

    disk_id: str
    written: bool | None = None


class MemoryPool(MemoryCare):
    """``ports.pool.PoolConnection`` without a network. Tests change ``vms`` and ``disks`` as guests would."""

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        super().__init__()
        self._clock = clock
        self._ids = ids
        self.vms: dict[str, MemoryVm] = {}
        self.disks: dict[str, MemoryDisk] = {}
        self.srs = {"sr-1": "Shared storage", "sr-2": "Other storage"}
        self.tickets: dict[str, MemoryTicket] = {}
        self.readable = True
        self.cpus = (HostCpu("host-1", "host 1", "GenuineIntel", "ffffffff", "ffffffff"),)
        self.tracking = Tracking.SWITCHED_ON
        self.layered = True
        self.appliances: set[str] = set()
        self.database_dump = b"<database/>"
        self.database_complete = True
        self.host_archives: dict[str, bytes] = {}
        self.pictures: asyncio.Queue[Picture] = asyncio.Queue()
        self.known_members: tuple[Member, ...] = ()

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

    def learn(self, members: tuple[Member, ...], coordinator: str) -> None:
        self.known_members = members

    async def watch(self) -> AsyncIterator[Picture]:
        while True:
            yield await self.pictures.get()

    async def members(self) -> tuple[Member, ...]:
        return self.known_members

    async def close(self) -> None:
        return None

    async def assert_readable(self) -> None:
        if not self.readable:
            raise FailedPrecondition("No network carries NBD.", reason="NBD_NOT_ENABLED")

    async def shape(self, vm_id: str) -> VmShape:
        vm = self._vm(vm_id)
        return VmShape(
            display_name=vm.name,
            disks=tuple(self._vm_disk(device, self.disks[disk]) for device, disk in vm.disks.items()),
            interfaces=tuple(ConfiguredInterface(*each) for each in vm.macs.items()),
        )

    async def track(self, disk_id: str) -> TrackingOutcome:
        disk = self.disks[disk_id]
        if disk.tracked:
            return TrackingOutcome(Tracking.ON)
        disk.tracked = self.tracking is Tracking.SWITCHED_ON
        return TrackingOutcome(self.tracking)

    async def has_snapshot(self, vm_id: str, source_id: str) -> bool:
        self._vm(vm_id)
        return any(each.source_id == source_id for each in self.vms.values())

    async def take_snapshot(
        self,
        vm_id: str,
        source_id: str,
        leave_out: Collection[str],
        quiesce: bool = False,
        memory: bool = False,
    ) -> Snapshot:
        vm = self._vm(vm_id)
        snapshot = next((each for each in self.vms.values() if each.source_id == source_id), None)
        if snapshot is None and memory and vm.memory_obstacle:
            told = f"The memory of the VM cannot be captured: {vm.memory_obstacle}."
            raise FailedPrecondition(told, reason=IMPOSSIBLE, metadata={"why": vm.memory_obstacle})
        if snapshot is None:
            copies = {}
            for device, disk_id in vm.disks.items():
                if disk_id not in leave_out:
                    copies[device] = self._ids.new()
                    if self.layered:
                        self.disks[disk_id].parents = (self._ids.new(), *self.disks[disk_id].parents)
                    self.disks[copies[device]] = replace(
                        self.disks[disk_id],
                        disk_id=copies[device],
                        snapshot_of=disk_id,
                        source_id=source_id,
                        taken=self._clock.now(),
                        blocks=dict(self.disks[disk_id].blocks),
                    )
            if quiesce and not vm.quiesces:
                raise FailedPrecondition("It cannot be quiesced.", reason="QUIESCE_IMPOSSIBLE")
            snapshot = replace(
                vm,
                vm_id=self._ids.new(),
                disks=copies,
                source_id=source_id,
                quiesced=quiesce,
                image=self._image(vm, source_id) if memory else "",
            )
            self.vms[snapshot.vm_id] = snapshot
        return Snapshot(
            snapshot_vm_id=snapshot.vm_id,
            time=self._clock.now(),
            power_state=snapshot.power_state,
            disks=tuple(
                SnapshotDisk(disk_id, device, self._facts(self.disks[disk_id]))
                for device, disk_id in snapshot.disks.items()
            ),
            quiesced=snapshot.quiesced,
            memory=self._memory(snapshot),
        )

    async def guest(self, vm_id: str) -> Guest:
        vm = self._vm(vm_id)
        runs = vm.power_state is PowerState.RUNNING
        return Guest(
            display_name=vm.name,
            power_state=vm.power_state,
            host_id=vm.host_id if runs else "",
            shutdown_obstacle="" if runs else "it does not run",
            quiesce_obstacle="" if runs and vm.quiesces else "the pool offers no quiesced snapshot of it",
            memory_obstacle=vm.memory_obstacle or ("" if self._has_memory(vm) else "it does not run"),
            domain_controller_hint=vm.domain_controller_hint,
        )

    async def ask_to_shut_down(self, vm_id: str, patience_s: float) -> str:
        vm = self._vm(vm_id)
        if vm.power_state is not PowerState.HALTED and not vm.reacts:
            return f"it was still on after {patience_s:g} s"
        vm.power_state = PowerState.HALTED
        return ""

    async def switch_off(self, vm_id: str) -> None:
        self._vm(vm_id).power_state = PowerState.HALTED

    async def start_again(self, vm_id: str, host_id: str) -> None:
        vm = self.vms.get(vm_id)
        if vm is None or vm.power_state is not PowerState.HALTED:
            return
        if vm.blocked_start:
            raise ResourceExhausted(vm.blocked_start, reason="NO_MEMORY")
        vm.power_state, vm.host_id = PowerState.RUNNING, host_id

    async def resume_again(self, vm_id: str, host_id: str) -> None:
        vm = self.vms.get(vm_id)
        if vm is not None and vm.power_state is PowerState.SUSPENDED:
            self._resume(vm)
            vm.host_id = host_id

    async def export_configuration(self, vm_id: str) -> bytes:
        vm = self._vm(vm_id)
        told = {"vm_id": vm_id, "name": vm.name, "disks": vm.disks, "macs": vm.macs, "keys": vm.keys}
        return json.dumps(told | {"blocked_operations": vm.blocked_operations}).encode()

    async def surroundings(self, vm_id: str) -> Surroundings:
        vm = self.vms.get(vm_id)
        return Surroundings(vm.appliance_id, vm.own_snapshots) if vm else Surroundings()

    async def tracked_disk(self, snapshot_disk_id: str) -> TrackedDisk | None:
        disk = self.disks.get(snapshot_disk_id)
        return self._facts(disk) if disk is not None else None

    async def changed_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        base, new = self.disks.get(base_disk_id), self.disks.get(snapshot_disk_id)
        if base is None or new is None or not (base.tracked and new.tracked):
            return "Source and target VDI are unrelated"
        return _differences(base, new)

    async def allocated_blocks(self, snapshot_disk_id: str) -> bytes | str:
        disk = self.disks.get(snapshot_disk_id)
        if disk is None:
            return "the snapshot is gone"
        bitmap = bytearray((disk.size_bytes // BLOCK_BYTES + 7) // 8)
        for block in disk.blocks:
            bitmap[block // 8] |= 0x80 >> block % 8
        return bytes(bitmap)

    async def layers(self, snapshot_disk_id: str) -> Layers | None:
        disk = self.disks.get(snapshot_disk_id)
        return Layers(disk.parents, disk.data_kept, len(disk.blocks) * BLOCK_BYTES) if disk else None

    async def differing_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        base, new = self.disks.get(base_disk_id), self.disks.get(snapshot_disk_id)
        if base is None or new is None or not base.data_kept:
            return "the snapshot to compare with is gone"
        return _differences(base, new)

    async def nbd_endpoints(self, snapshot_disk_ids: tuple[str, ...]) -> dict[str, tuple[NbdEndpoint, ...]]:
        return {
            disk: (NbdEndpoint("host-1", "host-1", 10809, Secret(f"/{disk}"), "", ""),)
            if disk in self.disks and self.disks[disk].data_kept
            else ()
            for disk in snapshot_disk_ids
        }

    async def remove_snapshot(
        self, source_id: str, keep_tracking: bool, lineage: str = "", with_data: Collection[str] = ()
    ) -> None:
        for vm in [each for each in self.vms.values() if each.source_id == source_id]:
            del self.vms[vm.vm_id]
        lives = set()
        for disk in [each for each in self.disks.values() if each.source_id == source_id]:
            lives.add(disk.snapshot_of)
            if keep_tracking and (disk.tracked or disk.disk_id in with_data):
                disk.data_kept, disk.lineage = not disk.tracked, lineage
            else:
                del self.disks[disk.disk_id]
        if keep_tracking:
            for disk in [each for each in self.disks.values() if each.lineage == lineage]:
                if disk.snapshot_of in lives and disk.source_id != source_id:
                    del self.disks[disk.disk_id]

    async def choose_sr(self, wanted: str, original_sr_id: str) -> str:
        if not wanted:
            return original_sr_id if original_sr_id in self.srs else "sr-1"
        found = [sr for sr, name in self.srs.items() if wanted in (sr, name)]
        if not found:
            raise NotFound(f"There is no storage repository {wanted!r}.", reason="SR_UNKNOWN")
        return found[0]

    async def make_disk(self, target_id: str, disk: ConfiguredDisk, size_bytes: int, sr_id: str) -> str:
        for each in self.disks.values():
            if (each.target_id, each.made_for) == (target_id, disk.disk_id):
                return each.disk_id
        made = self.add_disk(disk.display_name, size_bytes)
        made.sr_id, made.target_id, made.made_for = sr_id, target_id, disk.disk_id
        return made.disk_id

    async def open_ticket(self, new_disk_id: str) -> str:
        await self.drop_tickets(new_disk_id)
        ticket = self._ids.new()
        self.tickets[ticket] = MemoryTicket(new_disk_id)
        return ticket

    async def ticket_state(self, ticket: str) -> bool | None:
        if ticket not in self.tickets:
            raise Aborted("The pool has forgotten it.", reason="WRITE_TICKET_LOST")
        if self.tickets[ticket].written is False:
            raise Aborted("Writing failed.", reason="WRITE_FAILED")
        return self.tickets[ticket].written

    async def drop_tickets(self, new_disk_id: str) -> None:
        self.tickets = {key: each for key, each in self.tickets.items() if each.disk_id != new_disk_id}

    async def write_endpoint(self, new_disk_id: str, ticket: str) -> WriteEndpoint:
        return WriteEndpoint("host-1", Secret(f"https://host-1/{new_disk_id}?{ticket}"), "")

    async def attached_disks(self, vm_id: str) -> tuple[AttachedDisk, ...] | None:
        vm = self.vms.get(vm_id)
        if vm is None:
            return None
        return tuple(AttachedDisk(disk, device, self.disks[disk].name) for device, disk in vm.disks.items())

    async def shut_down(self, vm_id: str, patience_s: float) -> bool:
        vm = self._vm(vm_id)
        clean = vm.power_state is PowerState.HALTED or vm.reacts
        vm.power_state = PowerState.HALTED
        return clean

    async def find_vm(self, target_id: str) -> str | None:
        return next((vm.vm_id for vm in self.vms.values() if vm.target_id == target_id), None)

    async def host_cpus(self) -> tuple[HostCpu, ...]:
        return self.cpus

    async def suspend_image(self, vm_id: str) -> str:
        vm = self._vm(vm_id)
        return vm.image if vm.power_state is PowerState.SUSPENDED else ""

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
        told = json.loads(archive)
        if original and original in self.vms and self.vms[original].power_state is not PowerState.HALTED:
            raise FailedPrecondition("The VM runs.", reason="VM_BAD_POWER_STATE")
        vm_id = original or self._ids.new()
        self.vms[vm_id] = MemoryVm(
            vm_id=vm_id,
            name=name or told["name"],
            disks={device: disks[disk] for device, disk in told["disks"].items() if disk in disks},
            macs=told["macs"] if original else {device: "02:ff:ff:ff:ff:ff" for device in told["macs"]},
            target_id=target_id,
            keys=told["keys"] if keys else "",
            power_state=PowerState.SUSPENDED if memory else PowerState.HALTED,
            image=disks[memory] if memory else "",
        )

    def has_key_material(self, archive: bytes) -> bool:
        return bool(json.loads(archive)["keys"])

    async def complete_vm(self, vm_id: str, archive: bytes, appliance_id: str) -> tuple[str, ...]:
        vm, told = self._vm(vm_id), json.loads(archive)
        vm.blocked_operations = told["blocked_operations"]
        gone = bool(appliance_id) and appliance_id not in self.appliances
        vm.appliance_id = "" if gone else appliance_id
        return (f"its appliance {appliance_id} is gone",) if gone else ()

    async def set_macs(self, vm_id: str, interfaces: Collection[ConfiguredInterface]) -> None:
        self._vm(vm_id).macs |= {each.device: each.mac for each in interfaces}

    async def release(self, target_id: str, vm_id: str) -> None:
        vm = self._vm(vm_id)
        vm.target_id = ""
        for disk in [*vm.disks.values(), *filter(None, [vm.image])]:
            if self.disks[disk].target_id == target_id:
                self.disks[disk].target_id = ""

    async def remove_replaced(self, disk_ids: tuple[str, ...]) -> tuple[str, ...]:
        used = {disk for vm in self.vms.values() for disk in vm.disks.values()}
        for gone in [disk for disk in disk_ids if disk in self.disks and disk not in used]:
            del self.disks[gone]
            for disk in [each for each in self.disks.values() if each.snapshot_of == gone]:
                if disk.lineage is not None:
                    del self.disks[disk.disk_id]
        return tuple(disk for disk in disk_ids if disk in used)

    async def start_vm(self, vm_id: str) -> None:
        vm = self._vm(vm_id)
        if vm.power_state is PowerState.SUSPENDED:
            self._resume(vm)
        vm.power_state = PowerState.RUNNING

    async def remove_target(self, target_id: str) -> None:
        for vm in [each for each in self.vms.values() if each.target_id == target_id]:
            del self.vms[vm.vm_id]
        used = {disk for vm in self.vms.values() for disk in vm.disks.values()}
        for disk in [each for each in self.disks.values() if each.target_id == target_id]:
            if disk.disk_id not in used:
                del self.disks[disk.disk_id]

    async def leftovers(self) -> Leftovers:
        disks = [disk for disk in self.disks.values() if disk.lineage is None]
        vms = self.vms.values()
        sources = frozenset([*(vm.source_id for vm in vms), *(disk.source_id for disk in disks)]) - {""}
        targets = frozenset([*(vm.target_id for vm in vms), *(disk.target_id for disk in disks)]) - {""}
        return Leftovers(sources, targets, sources | targets)

    async def remove_orphans(self) -> int:
        orphans = [
            disk
            for disk in self.disks.values()
            if disk.lineage is not None and disk.snapshot_of not in self.disks
        ]
        for disk in orphans:
            del self.disks[disk.disk_id]
        return len(orphans)

    async def remove_stale(self, tracking_before: datetime, data_before: datetime) -> tuple[str, ...]:
        stale = [
            disk
            for disk in self.disks.values()
            if disk.lineage is not None and disk.taken < (data_before if disk.data_kept else tracking_before)
        ]
        for disk in stale:
            del self.disks[disk.disk_id]
        return tuple(disk.snapshot_of for disk in stale)

    async def hosts(self) -> tuple[tuple[str, str], ...]:
        return tuple((each, "host 1") for each in self.host_archives)

    async def description(self) -> bytes:
        return json.dumps({"SR": self.srs}).encode()

    async def database(self) -> AsyncIterator[bytes]:
        yield self.database_dump
        if not self.database_complete:
            raise Unavailable("The pool did not say that it was complete.", reason="POOL_UNREACHABLE")

    async def host_files(self, host_id: str) -> AsyncIterator[bytes]:
        if host_id not in self.host_archives:
            raise NotFound(f"There is no host {host_id}.", reason="HOST_UNKNOWN")
        yield self.host_archives[host_id]

    async def check_database(self, size_bytes: int, dump: AsyncIterator[bytes]) -> str:
        told = b"".join([piece async for piece in dump])
        return "" if told == self.database_dump else "RESTORE_INCOMPATIBLE_VERSION"

    def picture(self) -> Picture:
        """The pool without its VMs, for use cases that need only that it answers."""
        return Picture("Memory", "Fake 1.0", "host-1", (Host("host-1", "host 1", "host-1", True),))

    def suspend(self, vm: MemoryVm) -> None:
        """As a person would."""
        disk = self.add_disk("Suspend image")
        vm.power_state, vm.image, disk.blocks[0] = PowerState.SUSPENDED, disk.disk_id, vm.vm_id.encode()

    def _resume(self, vm: MemoryVm) -> None:
        self.disks.pop(vm.image, None)
        vm.power_state, vm.image = PowerState.RUNNING, ""

    def _has_memory(self, vm: MemoryVm) -> bool:
        return vm.power_state in (PowerState.RUNNING, PowerState.SUSPENDED)

    def _image(self, vm: MemoryVm, source_id: str) -> str:
        """A copy of the memory of a VM."""
        id = self._ids.new()
        blocks = {0: vm.vm_id.encode()}
        self.disks[id] = MemoryDisk(id, "Suspend image", BLOCK_BYTES * 16, source_id=source_id, blocks=blocks)
        return id

    def _memory(self, snapshot: MemoryVm) -> SuspendImage | None:
        image = self.disks.get(snapshot.image)
        if image is None:
            return None
        return SuspendImage(image.disk_id, image.sr_id, image.size_bytes, snapshot.cpu)

    def _vm(self, vm_id: str) -> MemoryVm:
        vm = self.vms.get(vm_id)
        if vm is None:
            raise NotFound(f"There is no VM {vm_id}.", reason="VM_UNKNOWN")
        if vm.source_id:
            raise InvalidInput(f"{vm_id} is a snapshot.", reason="VM_NOT_PROTECTABLE")
        return vm

    def _vm_disk(self, device: str, disk: MemoryDisk) -> VmDisk:
        configured = ConfiguredDisk(disk.disk_id, device, disk.name, "", (), disk.sr_id)
        return VmDisk(
            configured, disk.size_bytes, disk.tracked, disk.obstacle, self.srs[disk.sr_id], disk.failed
        )

    def _facts(self, disk: MemoryDisk) -> TrackedDisk:
        origin = disk.snapshot_of if disk.snapshot_of in self.disks else ""
        return TrackedDisk(origin, disk.sr_id, disk.size_bytes, disk.tracked)


def _differences(base: MemoryDisk, new: MemoryDisk) -> bytes:
    bitmap = bytearray((new.size_bytes // BLOCK_BYTES + 7) // 8)
    for block in base.blocks.keys() | new.blocks.keys():
        if base.blocks.get(block) != new.blocks.get(block):
            bitmap[block // 8] |= 0x80 >> block % 8
    return bytes(bitmap)
