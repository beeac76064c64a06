"""``ports.snapshots`` of the pool in memory."""

import json
from collections.abc import Collection
from dataclasses import replace

from services.chassis.errors import (
    FailedPrecondition,
)
from services.hypervisor.adapters.memory_objects import BLOCK_BYTES, MemoryDisk, MemoryObjects, MemoryVm
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.memory import DEVICE, IMPOSSIBLE, Cpu
from services.hypervisor.domain.surroundings import Surroundings
from services.hypervisor.domain.tracking import Tracking, TrackingOutcome
from services.hypervisor.ports.snapshots import Snapshot, SnapshotDisk, SuspendImage, VmDisk, VmShape

_CPU = Cpu("GenuineIntel", "")


class MemorySnapshots(MemoryObjects):
    """Snapshots are copies of the maps."""

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

    async def find_disks(self, source_id: str) -> dict[str, str]:
        shown: dict[str, str] = {}
        for snapshot in [vm for vm in self.vms.values() if vm.source_id == source_id]:
            shown |= snapshot.disks | {DEVICE: snapshot.image}
        found = {device: disk_id for device, disk_id in shown.items() if disk_id in self.disks}
        for disk_id in found.values():
            self.disks[disk_id].source_id = source_id
        return found

    async def export_configuration(self, vm_id: str, *, own_snapshots: bool = False) -> bytes:
        vm = self._vm(vm_id)
        told = {
            "vm_id": vm_id,
            "name": vm.name,
            "disks": vm.disks,
            "macs": vm.macs,
            "keys": vm.keys,
            "template": vm.template,
            "gpus": vm.gpus,
            "blocked_operations": vm.blocked_operations,
        }
        own = vm.own_snapshots if own_snapshots else ()
        parts = {
            each.snapshot_id: told
            | {"name": each.display_name, "disks": self.own_disks[each.snapshot_id], "template": False}
            for each in own
        }
        return json.dumps(told | {"own_snapshots": parts}).encode()

    async def snapshot_shape(self, snapshot_id: str) -> VmShape | None:
        disks = self.own_disks.get(snapshot_id)
        if disks is None:
            return None
        told = tuple(self._vm_disk(device, self.disks[disk]) for device, disk in disks.items())
        image = self.disks.get(self.own_images.get(snapshot_id, ""))
        memory = SuspendImage(image.disk_id, image.sr_id, image.size_bytes, _CPU) if image else None
        return VmShape("", told, (ConfiguredInterface("0", "02:00:00:00:00:aa"),), memory)

    def archived_snapshots(self, archive: bytes) -> frozenset[str]:
        return frozenset(json.loads(archive)["own_snapshots"])

    async def surroundings(self, vm_id: str) -> Surroundings:
        vm = self.vms.get(vm_id)
        return Surroundings(vm.appliance_id, vm.own_snapshots) if vm else Surroundings()

    async def remove_snapshot(
        self,
        source_id: str,
        keep_tracking: bool,
        lineage: str = "",
        with_data: Collection[str] = (),
        disk_ids: Collection[str] = (),
    ) -> None:
        for vm in [each for each in self.vms.values() if each.source_id == source_id]:
            for disk_id in (*vm.disks.values(), vm.image):
                if disk_id in self.disks:
                    self.disks[disk_id].source_id = source_id
            del self.vms[vm.vm_id]
        lives, used = set(), {disk for vm in self.vms.values() for disk in vm.disks.values()}
        for disk in [each for each in self.disks.values() if each.source_id == source_id]:
            lives.add(disk.snapshot_of)
            keep = keep_tracking and disk.snapshot_of in used
            if keep and (disk.tracked or disk.disk_id in with_data):
                disk.data_kept, disk.lineage = not disk.tracked, lineage
            else:
                del self.disks[disk.disk_id]
        if keep_tracking:
            for disk in [each for each in self.disks.values() if each.lineage == lineage]:
                if disk.snapshot_of in lives and disk.source_id != source_id:
                    del self.disks[disk.disk_id]

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

    def _vm_disk(self, device: str, disk: MemoryDisk) -> VmDisk:
        configured = ConfiguredDisk(disk.disk_id, device, disk.name, "", (), disk.sr_id, disk.image_format)
        return VmDisk(
            configured, disk.size_bytes, disk.tracked, disk.obstacle, self.srs[disk.sr_id], disk.failed
        )
