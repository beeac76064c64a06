"""An account with the role that is advised and no more: VMs are backed up and come back."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, restore_target_pb2

from tests.support.hypervisor import PATIENCE_S, HypervisorProcess, Lab, bases, write_disk
from tests.support.nats import NatsServer
from tests.support.pool import MIB, PASSWORD, SimulatedPool, vm

Placement = restore_target_pb2.Placement


@pytest.fixture
async def lab(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Lab]:
    """The pool is added with the account ``keeper``; whoever asks it by ``session_call`` is its superuser."""
    (tmp_path / "sim").mkdir()
    keeper = {"name": "keeper", "password": PASSWORD, "role": "vm-power-admin"}
    pool = SimulatedPool(tmp_path / "sim", vms=[vm("web", memory_bytes=16 * MIB)], users=[keeper])
    pool.start()
    try:
        async with Lab(pool, HypervisorProcess(nats_server, tmp_path), nats_server).running() as running:
            added = await running.add_pool(username="keeper")
            assert ("keeper", []) == (added.username, list(added.missing_rights))
            yield running
    finally:
        pool.stop()


async def test_every_method_and_level_works_and_leaves_nothing(lab: Lab) -> None:
    blocked = capture_pb2.CareOptions(migration=capture_pb2.CareOptions.MIGRATION_BLOCK)
    first = await lab.open(await lab.vm("web"), options=capture_pb2.CaptureOptions(care=blocked))
    await lab.close(first.name, committed=True)
    second = await lab.open(await lab.vm("web"), bases(first), method=capture_pb2.METHOD_OFFLINE)
    assert [capture_pb2.LEVEL_INCREMENTAL] == [disk.level for disk in second.disks]
    assert capture_pb2.CONSISTENCY_POWERED_OFF == second.consistency
    await lab.close(second.name, committed=True)
    third = await lab.open(await lab.vm("web"), bases(second), method=capture_pb2.METHOD_MEMORY)
    assert capture_pb2.CONSISTENCY_MEMORY == third.consistency
    await lab.close(third.name, committed=True)

    vms = (await lab.session_call("VM.get_all_records")).values()
    assert [] == [record["name_label"] for record in vms if record["is_a_snapshot"]]
    [web] = [record for record in vms if record["name_label"] == "web"]
    assert ("Running", {}) == (web["power_state"], web["blocked_operations"])


async def test_templates_are_captured(lab: Lab) -> None:
    [web] = await lab.session_call("VM.get_by_name_label", "web")
    await lab.session_call("VM.hard_shutdown", web)
    clone = await lab.new_vm(running=False)
    ref = await lab.session_call("VM.get_by_uuid", clone.name.rpartition("/")[2])
    await lab.session_call("VM.set_is_a_template", ref, True)
    golden = await lab.vm_with(clone.name, lambda now: now.template)
    source = await lab.open(golden)
    assert [16 * MIB] == [disk.size_bytes for disk in source.disks]
    await lab.close(source.name, committed=True)


@pytest.mark.parametrize("mode", [Placement.MODE_NEW_VM, Placement.MODE_ORIGINAL])
async def test_vms_come_back_and_what_it_may_not_set_is_told(
    lab: Lab, mode: Placement.Mode.ValueType
) -> None:
    [ref] = await lab.session_call("VM.get_by_name_label", "web")
    appliance = await lab.session_call("VM_appliance.create", {"name_label": "shop", "name_description": ""})
    await lab.session_call("VM.set_appliance", ref, appliance)
    source = await lab.backed_up(await lab.vm("web"))
    done = await _restored(lab, source, mode)
    told = " ".join(notice.message for notice in done.notices if notice.code == "SETTINGS_NOT_RESTORED")
    assert ("appliance" in told and "RBAC_PERMISSION_DENIED" in told) is (mode == Placement.MODE_ORIGINAL)
    back = await lab.session_call("VM.get_by_uuid", done.vm.rpartition("/")[2])
    assert "Running" == await lab.session_call("VM.get_power_state", back)


async def _restored(
    lab: Lab, source: backup_source_pb2.BackupSource, mode: Placement.Mode.ValueType
) -> restore_target_pb2.RestoreTarget:
    """The VM of a source, made, or made again, and started."""
    target = await lab.targets.PrepareRestoreTarget(
        restore_target_pb2.PrepareRestoreTargetRequest(
            restore_target_id=str(uuid.uuid4()),
            placement=Placement(pool="Lab", mode=mode, start=True),
            vm_configuration=source.vm_configuration,
            disks=[
                restore_target_pb2.DiskToRestore(
                    disk_id=disk.disk_id, size_bytes=disk.size_bytes, display_name=disk.display_name
                )
                for disk in source.disks
            ],
        ),
        timeout=PATIENCE_S,
    )
    for disk in target.disks:
        await write_disk(disk.endpoint, [(0, b"data" * 1024)])
    request = restore_target_pb2.CommitRestoreTargetRequest(name=target.name)
    return await lab.targets.CommitRestoreTarget(request, timeout=PATIENCE_S)
