"""Scene 6: one VM comes back as a new one, another over the original; both as they were at the second run."""

import asyncio

from xenkeep.catalog.v1 import catalog_pb2
from xenkeep.demo.guests import GuestDisk, file_system_problems
from xenkeep.demo.stage import Stage, complaints
from xenkeep.hypervisor.v1 import restore_target_pb2, vm_pb2
from xenkeep.scheduler.v1 import run_pb2

AS_NEW = "files"
OVER_ORIGINAL = "db"


async def restore(stage: Stage) -> None:
    """Restore both and compare by means that know nothing of Xenkeep."""
    stage.report.data["restore"] = {"sha256_equal": True, "fsck_clean": True, "identity_equal": True}
    await _restore(stage, AS_NEW, restore_target_pb2.Placement.MODE_NEW_VM)
    await _restore(stage, OVER_ORIGINAL, restore_target_pb2.Placement.MODE_ORIGINAL)


async def _restore(stage: Stage, name: str, mode: restore_target_pb2.Placement.Mode.ValueType) -> None:
    before = stage.client.vms.get(name)
    point = _second_point(stage, name)
    placement = restore_target_pb2.Placement(mode=mode, keep_mac_addresses=True)
    run = stage.client.runs.restore(point.name, placement)
    run = await asyncio.to_thread(stage.client.runs.wait, run.name)
    how = "as a new VM" if mode == restore_target_pb2.Placement.MODE_NEW_VM else "over the original"
    figures = stage.report.data["restore"]
    if not stage.check(
        run.state == run_pb2.Run.STATE_SUCCEEDED, f"{name} came back {how} {complaints(run)}".strip()
    ):
        figures.update(sha256_equal=False, fsck_clean=False, identity_equal=False)
        return
    after = stage.client.vms.get(run.tasks[0].result.vm)
    same_uuid = before.name == after.name
    identity = _identity(before) == _identity(after) and same_uuid == (
        mode == restore_target_pb2.Placement.MODE_ORIGINAL
    )
    figures["identity_equal"] &= stage.check(
        identity, "names, sizes, MAC addresses, boot parameters are as they were"
    )
    for old, new in zip(before.disks, after.disks, strict=True):
        copy = stage.folder / f"restored-{new.disk_id}.img"
        await asyncio.to_thread(stage.control.copy, new.disk_id, copy)
        found = await asyncio.to_thread(GuestDisk(copy, new.size_bytes).sha256)
        equal = found == stage.expected[_original_id(stage, name, old.device)]
        figures["sha256_equal"] &= stage.check(
            equal, f"disk {old.device} has SHA-256 {found[:16]}... as at the snapshot"
        )
        problems = await asyncio.to_thread(file_system_problems, copy)
        figures["fsck_clean"] &= stage.check(not problems, f"e2fsck -fn is clean {problems}".strip())
        copy.unlink()


def _original_id(stage: Stage, name: str, device: str) -> str:
    guest = next(guest for guest in stage.guests if guest.name == name)
    return guest.disks[int(device)].disk_id


def _second_point(stage: Stage, name: str) -> catalog_pb2.RestorePoint:
    points = list(stage.client.restore_points.list(name))
    return points[-2]


def _identity(vm: vm_pb2.Vm) -> dict[str, object]:
    return {
        "name": vm.display_name,
        "description": vm.description,
        "memory": vm.memory_bytes,
        "cpus": vm.vcpus,
        "tags": sorted(vm.tags),
        "boot": dict(vm.boot_parameters),
        "disks": [
            (disk.device, disk.display_name, disk.size_bytes, disk.sr_display_name) for disk in vm.disks
        ],
        "interfaces": [(vif.device, vif.mac, vif.network_display_name) for vif in vm.network_interfaces],
    }
