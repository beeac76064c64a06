"""Scene 6: one VM comes back as a new one, another over the original; both as they were at the second run."""

import asyncio

from xenkeep.catalog.v1 import catalog_pb2
from xenkeep.demo.guests import GuestDisk, file_system_problems
from xenkeep.demo.stage import Stage, complaints
from xenkeep.hypervisor.v1 import restore_target_pb2, vm_pb2
from xenkeep.scheduler.v1 import run_pb2

AS_NEW = "files"
OVER_ORIGINAL = "db"
Comparison = tuple[str, asyncio.Task[str], asyncio.Task[tuple[str, str]]]
"""What is compared, the SHA-256 it must have, and the one it has with the complaints of e2fsck."""


async def remember(stage: Stage) -> None:
    """Keep what the VMs to be restored hold now; it is hashed while the story goes on."""
    for guest in stage.guests:
        if guest.name in (AS_NEW, OVER_ORIGINAL):
            for disk in guest.disks:
                copy = await asyncio.to_thread(disk.as_it_is, stage.folder)
                stage.expected[disk.disk_id] = asyncio.create_task(asyncio.to_thread(_hash_once, copy))


async def restore(stage: Stage) -> None:
    """Restore both and compare by means that know nothing of Xenkeep."""
    stage.report.data["restore"] = {"sha256_equal": True, "fsck_clean": True, "identity_equal": True}
    comparisons = await _restore(stage, AS_NEW, restore_target_pb2.Placement.MODE_NEW_VM)
    comparisons += await _restore(stage, OVER_ORIGINAL, restore_target_pb2.Placement.MODE_ORIGINAL)
    figures = stage.report.data["restore"]
    for name, expected, comparison in comparisons:
        found, problems = await comparison
        figures["sha256_equal"] &= stage.check(
            found == await expected, f"{name} has SHA-256 {found[:16]}... as at the second run"
        )
        figures["fsck_clean"] &= stage.check(
            not problems, f"{name}: e2fsck -fn finds nothing {problems}".strip()
        )


async def _restore(
    stage: Stage, name: str, mode: restore_target_pb2.Placement.Mode.ValueType
) -> list[Comparison]:
    before = stage.client.vms.get(name)
    point = _second_point(stage, name)
    placement = restore_target_pb2.Placement(mode=mode, keep_mac_addresses=True)
    run = stage.client.runs.restore(point.name, placement)
    run = await asyncio.to_thread(stage.client.runs.wait, run.name)
    as_new = mode == restore_target_pb2.Placement.MODE_NEW_VM
    how = "as a new VM beside the original" if as_new else "over the original"
    figures = stage.report.data["restore"]
    succeeded = run.state == run_pb2.Run.STATE_SUCCEEDED
    if not stage.check(succeeded, f"{name} came back {how} {complaints(run)}".strip()):
        figures.update(sha256_equal=False, fsck_clean=False, identity_equal=False)
        return []
    after = stage.client.vms.get(run.tasks[0].result.vm)
    kept = _identity(before) == _identity(after) and (before.name == after.name) != as_new
    booting = f", {len(after.boot_parameters)} boot parameters" if after.boot_parameters else ""
    uuid = "its UUID is new" if as_new else "so is its UUID"
    figures["identity_equal"] &= stage.check(
        kept, f"its name, disks, MAC addresses{booting} are as they were; {uuid}"
    )
    guest = next(guest for guest in stage.guests if guest.name == name)
    return [
        (
            f"{name}, disk {new.device}",
            stage.expected[guest.disks[int(new.device)].disk_id],
            asyncio.create_task(asyncio.to_thread(_looked_at, stage, new)),
        )
        for new in after.disks
    ]


def _looked_at(stage: Stage, disk: vm_pb2.Disk) -> tuple[str, str]:
    """SHA-256 of a disk of the pool and what e2fsck complains about."""
    copy = stage.folder / f"restored-{disk.disk_id}.img"
    stage.control.copy(disk.disk_id, copy)
    problems = file_system_problems(copy)
    return _hash_once(GuestDisk(copy, disk.size_bytes)), problems


def _hash_once(disk: GuestDisk) -> str:
    sha256 = disk.sha256()
    disk.image.unlink()
    return sha256


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
