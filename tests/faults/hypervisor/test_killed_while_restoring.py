import uuid
from dataclasses import dataclass
from functools import partial

import grpc
import pytest
from xenkeep.hypervisor.v1 import restore_target_pb2, vm_pb2

from tests.faults.hypervisor.pool_view import disks, gone
from tests.support.hypervisor import PATIENCE_S, Lab, write_disk
from tests.support.pool import MIB

pytestmark = pytest.mark.scenario(1)

Placement = restore_target_pb2.Placement
DATA = [(0, b"boot" * 1024), (7 * MIB, bytes(range(256)) * 32)]
COMMITTING = ("commit:original_off", "commit:imported", "commit:released")


@dataclass
class Restore:
    """One restore of a VM, each call of which may be made again."""

    lab: Lab
    request: restore_target_pb2.PrepareRestoreTargetRequest

    async def prepare(self) -> restore_target_pb2.RestoreTarget:
        return await self.lab.targets.PrepareRestoreTarget(
            self.request, timeout=PATIENCE_S, wait_for_ready=True
        )

    async def written(self) -> restore_target_pb2.RestoreTarget:
        target = await self.prepare()
        for disk in target.disks:
            await write_disk(disk.endpoint, DATA)
        return target

    async def commit(self, name: str) -> restore_target_pb2.RestoreTarget:
        request = restore_target_pb2.CommitRestoreTargetRequest(name=name)
        return await self.lab.targets.CommitRestoreTarget(request, timeout=PATIENCE_S, wait_for_ready=True)


async def _restore(lab: Lab, mode: "Placement.Mode.ValueType") -> Restore:
    vm = await lab.vm("web")
    for disk in vm.disks:
        for offset, data in DATA:
            await lab.guest_writes(disk.disk_id, offset, data)
    source = await lab.open(vm)
    await lab.close(source.name, committed=False)
    request = restore_target_pb2.PrepareRestoreTargetRequest(
        restore_target_id=str(uuid.uuid4()),
        placement=Placement(
            pool="Lab",
            mode=mode,
            vm_display_name="" if mode == Placement.MODE_ORIGINAL else f"copy {uuid.uuid4()}",
            keep_mac_addresses=True,
        ),
        vm_configuration=source.vm_configuration,
        disks=[
            restore_target_pb2.DiskToRestore(
                disk_id=disk.disk_id, size_bytes=disk.size_bytes, display_name=disk.display_name
            )
            for disk in source.disks
        ],
    )
    return Restore(lab, request)


def _has_macs_of(one: vm_pb2.Vm, other: vm_pb2.Vm) -> bool:
    return [each.mac for each in one.network_interfaces] == [each.mac for each in other.network_interfaces]


def _has_other_disks(before: vm_pb2.Vm, now: vm_pb2.Vm) -> bool:
    return len(now.disks) == len(before.disks) and now.disks != before.disks


async def _tags(lab: Lab) -> list[str]:
    records = [*(await disks(lab)).values(), *(await lab.session_call("VM.get_all_records")).values()]
    return [key for each in records for key in each["other_config"] if key.startswith("xenkeep:")]


async def test_killed_while_preparing_no_disk_is_made_twice(lab: Lab) -> None:
    before = await disks(lab)
    for step in ("prepare:disk",):
        restore = await _restore(lab, Placement.MODE_NEW_VM)
        await lab.process.kill()
        await lab.restarted(crash_at=step)
        with pytest.raises(grpc.aio.AioRpcError):
            await restore.prepare()
        await lab.process.died()
        await lab.restarted()
        target = await restore.prepare()
        assert len(before) + 2 == len(await disks(lab)), step
        request = restore_target_pb2.AbortRestoreTargetRequest(name=target.name)
        await lab.targets.AbortRestoreTarget(request, timeout=PATIENCE_S)
        assert before.keys() == (await disks(lab)).keys(), step


async def test_killed_while_replacing_the_original_it_is_replaced_in_the_end(lab: Lab) -> None:
    for step in COMMITTING:
        restore = await _restore(lab, Placement.MODE_ORIGINAL)
        vm = await lab.vm("web")
        await lab.process.kill()
        await lab.restarted(crash_at=step)
        target = await restore.written()
        with pytest.raises(grpc.aio.AioRpcError):
            await restore.commit(target.name)
        await lab.process.died()
        present = {vdi["uuid"] for vdi in (await disks(lab)).values()}
        assert {disk.disk_id for disk in vm.disks} <= present, f"{step}: the original was harmed"
        await lab.restarted()
        done = await restore.commit(target.name)
        assert vm.name == done.vm, step
        new = await lab.vm_with(vm.name, partial(_has_other_disks, vm))
        assert vm.network_interfaces == new.network_interfaces, step
        one, other = [await lab.hash_of(disk.disk_id) for disk in new.disks]
        assert one == other, step
        present = {vdi["uuid"] for vdi in (await disks(lab)).values()}
        assert not {disk.disk_id for disk in vm.disks} & present, step
        assert [] == await _tags(lab), step


async def test_killed_while_making_a_new_vm_one_is_made(lab: Lab) -> None:
    for step in ("commit:imported", "commit:macs"):
        restore = await _restore(lab, Placement.MODE_NEW_VM)
        await lab.process.kill()
        await lab.restarted(crash_at=step)
        target = await restore.written()
        with pytest.raises(grpc.aio.AioRpcError):
            await restore.commit(target.name)
        await lab.process.died()
        await lab.restarted()
        done = await restore.commit(target.name)
        name = restore.request.placement.vm_display_name
        assert 1 == len(await lab.session_call("VM.get_by_name_label", name)), step
        web = await lab.vm("web")
        await lab.vm_with(done.vm, partial(_has_macs_of, web))
        assert [] == await _tags(lab), step


async def test_a_commit_that_began_is_finished_without_anybody_asking(lab: Lab) -> None:
    restore = await _restore(lab, Placement.MODE_ORIGINAL)
    vm = await lab.vm("web")
    await lab.process.kill()
    await lab.restarted(crash_at="commit:imported")
    target = await restore.written()
    with pytest.raises(grpc.aio.AioRpcError):
        await restore.commit(target.name)
    await lab.process.died()
    old = await lab.session_call("VDI.get_by_uuid", vm.disks[0].disk_id)
    await lab.restarted()
    await gone(lab, "VDI", old)
