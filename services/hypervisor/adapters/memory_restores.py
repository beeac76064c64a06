"""``ports.restores`` of the pool in memory."""

import json
from collections.abc import Collection, Mapping

from services.chassis.config import Secret
from services.chassis.errors import (
    Aborted,
    FailedPrecondition,
    NotFound,
)
from services.hypervisor.adapters.memory_objects import MemoryObjects, MemoryTicket, MemoryVm
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.gpus import GpuFate, GpuObstacle, GpuType, SavedGpu
from services.hypervisor.domain.image_format import LARGEST_VHD_BYTES, QCOW2, DiskStorage
from services.hypervisor.domain.memory import HostCpu
from services.hypervisor.domain.target import AttachedDisk
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.restores import MadeDisk, WriteEndpoint


class MemoryRestores(MemoryObjects):
    """Tests complete the ``tickets`` as a writer would."""

    async def choose_sr(self, wanted: str, original_sr_id: str) -> str:
        if not wanted:
            return original_sr_id if original_sr_id in self.srs else "sr-1"
        found = [sr for sr, name in self.srs.items() if wanted in (sr, name)]
        if not found:
            raise NotFound(f"There is no storage repository {wanted!r}.", reason="SR_UNKNOWN")
        return found[0]

    async def disk_storage(self, sr_id: str) -> DiskStorage:
        if sr_id not in self.srs:
            raise NotFound(f"There is no storage repository {sr_id!r}.", reason="SR_UNKNOWN")
        return DiskStorage(self.srs[sr_id], self.sr_formats.get(sr_id))

    async def make_disk(
        self, target_id: str, disk: ConfiguredDisk, size_bytes: int, sr_id: str, image_format: str = ""
    ) -> MadeDisk:
        for each in self.disks.values():
            if (each.target_id, each.made_for) == (target_id, disk.disk_id):
                return MadeDisk(each.disk_id, each.image_format)
        makes = self.sr_formats.get(sr_id, ())
        asked = image_format if image_format in makes else "".join(makes[:1])
        if size_bytes > LARGEST_VHD_BYTES and asked != QCOW2:
            raise FailedPrecondition("It is too large.", reason="DISK_TOO_LARGE")
        made = self.add_disk(disk.display_name, size_bytes)
        made.sr_id, made.target_id, made.made_for = sr_id, target_id, disk.disk_id
        made.image_format = asked
        return MadeDisk(made.disk_id, asked)

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

    async def write_endpoints(self, new_disk_id: str, ticket: str) -> tuple[WriteEndpoint, ...]:
        return (WriteEndpoint("host-1", Secret(f"https://host-1/{new_disk_id}?{ticket}"), ""),)

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

    async def host_cpus(self) -> tuple[HostCpu, ...]:
        return self.cpus

    async def suspend_image(self, vm_id: str) -> str:
        vm = self._vm(vm_id)
        return vm.image if vm.power_state is PowerState.SUSPENDED else ""

    async def find_vm(self, target_id: str) -> str | None:
        return next((vm.vm_id for vm in self.vms.values() if vm.target_id == target_id), None)

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
        without_gpus: Collection[str] = (),
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
            template=told["template"],
            gpus=tuple(gpu for gpu in told["gpus"] if gpu not in without_gpus),
            power_state=PowerState.SUSPENDED if memory else PowerState.HALTED,
            image=disks[memory] if memory else "",
        )

    def part_of(self, archive: bytes, snapshot_id: str) -> bytes:
        told = json.loads(archive)
        parts = told.pop("own_snapshots")
        return json.dumps(parts[snapshot_id] if snapshot_id else told).encode()

    def has_virtual_tpm(self, archive: bytes) -> bool:
        return bool(json.loads(archive)["keys"])

    async def gpu_obstacles(self, archive: bytes) -> tuple[GpuObstacle, ...]:
        gpus = (each for each in json.loads(archive)["gpus"] if each not in self.gpu_types)
        saved = (SavedGpu(each, "0", "GPUs", (), GpuType(each, "", each)) for each in gpus)
        return tuple(GpuObstacle(gpu, GpuFate.LEFT_OUT, "the pool has none") for gpu in saved)

    async def complete_vm(
        self, vm_id: str, archive: bytes, appliance_id: str, without_gpus: Collection[str] = ()
    ) -> tuple[str, ...]:
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
