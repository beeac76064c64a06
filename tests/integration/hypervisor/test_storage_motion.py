"""Disks that go to other storage of the pool while their VM is backed up.

The first pool's licence does not include changed block tracking; where changes are tracked pools refuse.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest
import pytest_asyncio
import XenAPI
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from services.mover.adapters.nbd_connection import NbdConnection
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from tests.faults.hypervisor.pool_view import gone
from tests.support.hypervisor import PATIENCE_S, HypervisorProcess, Lab, bases
from tests.support.nats import NatsServer
from tests.support.pool import SimulatedPool, vm
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
BLOCKED = capture_pb2.CaptureOptions(
    care=capture_pb2.CareOptions(migration=capture_pb2.CareOptions.MIGRATION_BLOCK)
)
SAVE = capture_pb2.CaptureOptions(own_snapshots=capture_pb2.CaptureOptions.OWN_SNAPSHOTS_SAVE)
STAY_OFF = capture_pb2.CaptureOptions(offline=capture_pb2.OfflineOptions(stay_off=True))
REPLACED = capture_pb2.FULL_REASON_DISK_REPLACED
MOVED = "SNAPSHOT_MOVED"
LEFT = "DISK_LEFT_VM"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unlicensed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    directory = tmp_path_factory.mktemp("unlicensed")
    for name in ("sim", "nats"):
        (directory / name).mkdir()
    storage = [{"name": "Shared storage"}, {"name": "Other storage"}]
    overrides = {"restrictions": {"restrict_cbt": "true"}, "storage": storage}
    pool = SimulatedPool(directory / "sim", hosts=2, vms=[vm("web", host=None, disks=2)], overrides=overrides)
    nats = NatsServer(directory / "nats")
    pool.start()
    nats.start()
    async with Lab(pool, HypervisorProcess(nats, directory), nats).running() as running:
        yield running
    nats.stop()
    pool.stop()


async def _migrate(lab: Lab, disk_id: str, storage: str = "Other storage") -> str:
    """The disk's UUID there."""
    disk = await lab.session_call("VDI.get_by_uuid", disk_id)
    [sr] = await lab.session_call("SR.get_by_name_label", storage)
    moved = await lab.session_call("VDI.pool_migrate", disk, sr, {})
    return str(await lab.session_call("VDI.get_uuid", moved))


async def _refused(lab: Lab, disk_id: str, storage: str = "Other storage") -> list[str]:
    with pytest.raises(XenAPI.Failure) as refused:
        await _migrate(lab, disk_id, storage)
    return list(refused.value.details)


async def _now(lab: Lab, name: str) -> backup_source_pb2.BackupSource:
    request = backup_source_pb2.GetBackupSourceRequest(name=name, connections=1)
    return await lab.sources.GetBackupSource(request, timeout=PATIENCE_S, wait_for_ready=True)


def _connected(disk: backup_source_pb2.SourceDisk) -> NbdConnection:
    told = disk.nbd_endpoints[0]
    return NbdConnection.open(
        NbdEndpoint(
            told.host_id, told.address, told.port, told.export_name, told.certificate_pem, told.server_name
        )
    )


def _hash(disk: backup_source_pb2.SourceDisk) -> str:
    """Of what is read at its first endpoint."""
    connection, content = _connected(disk), bytearray(disk.size_bytes)
    connection.read_into(0, memoryview(content))
    connection.close()
    return hashlib.sha256(content).hexdigest()


async def _snapshot_disks(lab: Lab) -> set[str]:
    """UUIDs, wherever they are."""
    vdis = (await lab.session_call("VDI.get_all_records")).values()
    return {vdi["uuid"] for vdi in vdis if vdi["is_a_snapshot"]}


async def _written(lab: Lab, vm: vm_pb2.Vm) -> list[str]:
    for number, disk in enumerate(vm.disks):
        await lab.guest_writes(disk.disk_id, number * MIB, bytes([number + 1]) * 4096)
    return [await lab.hash_of(disk.disk_id) for disk in vm.disks]


@pytest.mark.parametrize("killed", [False, True])
async def test_a_snapshot_that_was_moved_is_read_on_from_there(unlicensed: Lab, killed: bool) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    before = await _snapshot_disks(lab)
    hashes = await _written(lab, web)
    source = await lab.open(web)
    await lab.guest_writes(web.disks[0].disk_id, 0, b"afterwards" * 512 + bytes(3072))
    if killed:
        await lab.process.kill()
    moved = await _migrate(lab, web.disks[0].disk_id)
    if killed:
        await lab.restarted()
    now = await _now(lab, source.name)
    assert [MOVED] == [notice.code for notice in now.notices if notice.code == MOVED]
    assert hashes == [_hash(disk) for disk in now.disks]
    assert now.notices == (await _now(lab, source.name)).notices, "it is told once"
    assert [disk.disk_id for disk in source.disks] == [disk.disk_id for disk in now.disks]
    assert ["", source.disks[1].tracking_ref] == [disk.tracking_ref for disk in now.disks]
    told = await lab.close(source.name, committed=True)
    assert (1, 0) == (told.count(MOVED), told.count(LEFT))
    assert {source.disks[1].tracking_ref} == await _snapshot_disks(lab) - before, (
        "the kept base of the other disk"
    )
    again = await lab.open(await lab.vm_with(web.name, lambda vm: moved in _disks(vm)), bases(now))
    assert [(moved, REPLACED), (web.disks[1].disk_id, 0)] == [_full(disk) for disk in again.disks]
    await lab.close(again.name, committed=False)


def _disks(vm: vm_pb2.Vm) -> set[str]:
    return {disk.disk_id for disk in vm.disks}


def _full(disk: backup_source_pb2.SourceDisk) -> tuple[str, int]:
    return disk.disk_id, disk.full_reason


async def test_what_was_kept_of_a_disk_that_moved_is_removed_from_its_old_storage(unlicensed: Lab) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    before = await _snapshot_disks(lab)
    first = await lab.backed_up(web)
    during = await lab.open(web, bases(first))
    assert [0, 0] == [disk.full_reason for disk in during.disks]
    await _migrate(lab, web.disks[0].disk_id)
    assert MOVED in await lab.close(during.name, committed=True), "nobody had asked where it was"
    assert MOVED in await lab.close(during.name, committed=True)
    old = await lab.session_call("VDI.get_by_uuid", first.disks[0].tracking_ref)
    await lab.process.kill()
    await lab.restarted()
    await gone(lab, "VDI", old)
    assert {during.disks[1].tracking_ref} == await _snapshot_disks(lab) - before


async def test_disks_of_a_vm_that_is_off_stay_where_they_are_until_they_are_read(unlicensed: Lab) -> None:
    """It could lose sight of a disk that arrives while its snapshot is read."""
    lab, web = unlicensed, await unlicensed.new_vm()
    hashes = await _written(lab, web)
    source = await lab.open(web, method=capture_pb2.METHOD_OFFLINE, options=STAY_OFF)
    code, _, text = await _refused(lab, web.disks[0].disk_id)
    assert ("OPERATION_BLOCKED", True) == (code, "Xenkeep is backing this VM up" in text)
    assert hashes == [_hash(disk) for disk in (await _now(lab, source.name)).disks]
    await lab.close(source.name, committed=True)
    moved = [await _migrate(lab, disk.disk_id) for disk in web.disks]
    ref = await lab.session_call("VM.get_by_uuid", web.name.rpartition("/")[2])
    assert "Running" == await lab.session_call("VM.get_power_state", ref)
    again = await lab.open(await lab.vm_with(web.name, lambda vm: moved[1] in _disks(vm)), bases(source))
    assert [(disk, REPLACED) for disk in moved] == [_full(disk) for disk in again.disks]
    await lab.close(again.name, committed=False)


async def test_a_disk_that_moves_while_it_is_read_is_read_to_its_end_where_it_was(unlicensed: Lab) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    before = await _snapshot_disks(lab)
    hashes = await _written(lab, web)
    source = await lab.open(web)
    reader = _connected(source.disks[0])
    assert "VDI_IN_USE" == (await _refused(lab, web.disks[0].disk_id))[0]
    now = await _now(lab, source.name)
    assert MOVED not in [notice.code for notice in now.notices]
    assert hashes == [_hash(disk) for disk in now.disks]
    told = [await lab.review(source.name), await lab.review(source.name)]
    told.append(await lab.close(source.name, committed=True))
    assert [(1, 0)] * 3 == [(codes.count(LEFT), codes.count(MOVED)) for codes in told]
    reader.close()
    assert {source.disks[1].tracking_ref} == await _snapshot_disks(lab) - before
    [moved] = _disks(await lab.vm_with(web.name, lambda vm: _disks(vm) != _disks(web))) - _disks(web)
    again = await lab.open(await lab.vm(web.name), bases(source))
    assert [(moved, REPLACED), (web.disks[1].disk_id, 0)] == [_full(disk) for disk in again.disks]
    await lab.close(again.name, committed=False)


async def test_memory_and_a_vms_own_snapshots_are_followed_too(unlicensed: Lab) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    ref = await lab.session_call("VM.get_by_uuid", web.name.rpartition("/")[2])
    await lab.session_call("VM.snapshot", ref, "somebody's")
    source = await lab.open(web, method=capture_pb2.METHOD_MEMORY, options=SAVE)
    before = {disk.disk_id: _hash(disk) for disk in source.disks}
    assert 5 == len(before), "two disks, as they are and as they were, and the memory"
    await _migrate(lab, web.disks[0].disk_id)
    now = await _now(lab, source.name)
    assert before == {disk.disk_id: _hash(disk) for disk in now.disks}
    assert 2 == [notice.code for notice in now.notices].count(MOVED)
    await lab.close(source.name, committed=False)
    snapshots = {await lab.session_call("VM.get_name_label", each) for each in await _snapshots(lab, ref)}
    assert {"somebody's"} == snapshots


async def _snapshots(lab: Lab, ref: str) -> list[Any]:
    return list(await lab.session_call("VM.get_snapshots", ref))


async def test_a_policy_may_block_it(unlicensed: Lab) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    source = await lab.open(web, options=BLOCKED)
    code, _, text = await _refused(lab, web.disks[0].disk_id)
    assert ("OPERATION_BLOCKED", True) == (code, "Xenkeep is backing this VM up" in text)
    await lab.close(source.name, committed=False)
    await _migrate(lab, web.disks[0].disk_id)


async def test_a_snapshot_that_was_moved_and_removed_there_is_gone(unlicensed: Lab) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    source = await lab.open(web)
    await _migrate(lab, web.disks[0].disk_id)
    [snapshot] = await lab.session_call("VM.get_by_name_label", f"xenkeep-{source.name.rpartition('/')[2]}")
    await lab.session_call("VM.destroy", snapshot)
    with pytest.raises(Exception, match="Somebody removed the snapshot of disk"):
        await _now(lab, source.name)
    await lab.close(source.name, committed=False)


async def _blocked(lab: Lab, vm: vm_pb2.Vm) -> dict[str, str]:
    ref = await lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    return dict(await lab.session_call("VM.get_blocked_operations", ref))


@pytest.mark.parametrize("killed", [False, True])
async def test_disks_of_a_vm_that_is_shut_down_while_it_is_read_stay_where_they_are(
    unlicensed: Lab, killed: bool
) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    hashes = await _written(lab, web)
    source = await lab.open(web)
    assert {} == await _blocked(lab, web)
    if killed:
        await lab.process.kill()
    ref = await lab.session_call("VM.get_by_uuid", web.name.rpartition("/")[2])
    await lab.session_call("VM.hard_shutdown", ref)
    if killed:
        await lab.restarted()
    await until(partial(_blocked, lab, web))
    code, _, text = await _refused(lab, web.disks[0].disk_id)
    assert ("OPERATION_BLOCKED", True) == (code, "Xenkeep is backing this VM up" in text)
    assert hashes == [_hash(disk) for disk in (await _now(lab, source.name)).disks]
    assert LEFT not in await lab.close(source.name, committed=True)
    assert {} == await _blocked(lab, web)
    await _migrate(lab, web.disks[0].disk_id)


async def _hold(lab: Lab, *, held: bool) -> None:
    await lab.simulator.HoldMigrations(simulator_pb2.HoldMigrationsRequest(held=held))


async def _moving(lab: Lab, vm: vm_pb2.Vm) -> asyncio.Task[str]:
    """A migration of its first disk that has begun and does not arrive."""
    await _hold(lab, held=True)
    moving = asyncio.create_task(_migrate(lab, vm.disks[0].disk_id))
    ref = await lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    await until(partial(lab.session_call, "VM.get_current_operations", ref))
    return moving


@pytest.mark.parametrize("killed", [False, True])
async def test_a_snapshot_whose_disks_are_being_moved_is_removed_when_they_have_arrived(
    unlicensed: Lab, killed: bool
) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    before = await _snapshot_disks(lab)
    source = await lab.open(web)
    moving = await _moving(lab, web)
    told = await lab.close(source.name, committed=True)
    assert told[-1] == "SNAPSHOT_WAITS"
    if killed:
        await lab.process.kill()
    await _hold(lab, held=False)
    moved = await moving
    if killed:
        await lab.restarted()
    else:
        assert MOVED in await lab.close(source.name, committed=True)
    [other] = {disk.tracking_ref for disk in source.disks[1:]}

    async def removed() -> bool:
        return await _snapshot_disks(lab) - before == {other}

    await until(removed)
    await lab.vm_with(web.name, lambda vm: moved in _disks(vm))


async def test_killed_while_a_snapshot_is_removed_no_disk_moves_until_the_next_process_has_done_it(
    unlicensed: Lab,
) -> None:
    lab, web = unlicensed, await unlicensed.new_vm()
    before = await _snapshot_disks(lab)
    await lab.process.stop()
    await lab.restarted(crash_at="close:blocked")
    source = await lab.open(web)
    with pytest.raises(grpc.aio.AioRpcError):
        await lab.close(source.name, committed=False)
    await lab.process.died()
    assert "OPERATION_BLOCKED" == (await _refused(lab, web.disks[0].disk_id))[0]
    await lab.restarted()

    async def allowed() -> bool:
        return not await _blocked(lab, web)

    await until(allowed)
    assert before == await _snapshot_disks(lab)
    await _migrate(lab, web.disks[0].disk_id)
    assert before == await _snapshot_disks(lab)
