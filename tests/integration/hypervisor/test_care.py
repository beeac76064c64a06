"""Regard for a simulated pool: its storage, its hosts' connections, migrations of its VMs."""

import uuid

import grpc
import pytest
import XenAPI
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, events_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.support.hypervisor import PATIENCE_S, Lab, bases

BLOCKED = capture_pb2.CaptureOptions(
    care=capture_pb2.CareOptions(migration=capture_pb2.CareOptions.MIGRATION_BLOCK)
)
TIB = 1 << 40


async def _resized(lab: Lab, size_bytes: int) -> None:
    request = simulator_pb2.ResizeStorageRequest(storage="Shared storage", size_bytes=size_bytes)
    await lab.simulator.ResizeStorage(request)


async def _migrated(lab: Lab, name: str, host: str) -> None:
    [vm] = await lab.session_call("VM.get_by_name_label", name)
    [target] = await lab.session_call("host.get_by_name_label", host)
    await lab.session_call("VM.pool_migrate", vm, target, {"live": "true"})


async def _shared(lab: Lab, source: str, connections: int = 4) -> dict[str, int]:
    """Connections by address, of the first disk."""
    request = backup_source_pb2.GetBackupSourceRequest(name=source, connections=connections)
    told = await lab.sources.GetBackupSource(request, timeout=PATIENCE_S)
    return {each.address: each.max_connections for each in told.disks[0].nbd_endpoints}


async def test_a_snapshot_that_could_fill_its_storage_waits_until_there_is_room(lab: Lab) -> None:
    web = await lab.vm("web")
    await _resized(lab, 1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(web)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.value.code()
    told = await lab.event(events_pb2.SnapshotHindered)
    assert (web.name, "SR_SPACE_LOW") == (told.vm, told.reason)
    await _resized(lab, TIB)
    possible = await lab.event(events_pb2.SnapshotPossible)
    assert web.name == possible.vm
    source = await lab.open(web)
    await lab.close(source.name, committed=False)


async def test_connections_are_spread_over_the_hosts_and_shared_with_others(lab: Lab) -> None:
    web = await lab.vm("web")
    first = await lab.open(web)
    assert [1, 1, 2] == sorted((await _shared(lab, first.name)).values())
    sources = [first.name]
    for _ in range(2):
        sources.append((await lab.open(web)).name)
        await _shared(lab, sources[-1], 16)
    for _ in range(2):  # as movers do every minute
        told = [await _shared(lab, name, 16) for name in sources]
    assert [12, 12, 12] == [sum(share.values()) for share in told]
    assert {12} == {sum(share[address] for share in told) for address in told[0]}
    await lab.process.kill()
    await lab.restarted()
    assert 12 == sum((await _shared(lab, sources[0], 16)).values())
    for name in sources:
        await lab.close(name, committed=False)


async def test_migrations_are_blocked_while_a_source_is_open_and_allowed_afterwards(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"), options=BLOCKED)
    with pytest.raises(XenAPI.Failure) as refused:
        await _migrated(lab, "web", "host1")
    assert "OPERATION_BLOCKED" == refused.value.details[0]
    assert "Xenkeep is backing this VM up" in refused.value.details[2]
    await lab.close(source.name, committed=False)
    await _migrated(lab, "web", "host1")


async def test_a_block_is_removed_although_we_die_while_it_is_made(lab: Lab) -> None:
    web = await lab.vm("web")
    await lab.process.stop()
    await lab.restarted(crash_at="open:blocked")
    id = str(uuid.uuid4())
    with pytest.raises(grpc.aio.AioRpcError):
        await lab.open(web, id=id, options=BLOCKED)
    await lab.process.died()
    [ref] = await lab.session_call("VM.get_by_name_label", "web")
    assert await lab.session_call("VM.get_blocked_operations", ref)
    await lab.restarted()
    await lab.close(f"pools/{lab.pool_id}/backupSources/{id}", committed=False)
    assert {} == await lab.session_call("VM.get_blocked_operations", ref)


async def test_a_vm_that_migrates_during_its_backup_is_read_on(lab: Lab) -> None:
    source = await lab.open(await lab.vm("web"))
    await _migrated(lab, "web", "host1")
    moved = await lab.event(events_pb2.VmMoved)
    assert "host1" == moved.new_host_display_name
    assert 3 == len(await _shared(lab, source.name))
    await lab.close(source.name, committed=True)
    again = await lab.open(await lab.vm("web"), bases(source))
    assert [capture_pb2.LEVEL_INCREMENTAL] == [disk.level for disk in again.disks[:1]]
    await lab.close(again.name, committed=False)


async def test_a_tracked_disk_stays_where_it_is_during_its_backup_and_is_full_after_it_moved(
    lab: Lab,
) -> None:
    web = await lab.vm("web")
    source = await lab.backed_up(web)
    during = await lab.open(web, bases(source))
    disk = web.disks[0].disk_id
    refs = [await lab.session_call("VDI.get_by_uuid", each.disk_id) for each in web.disks]
    assert ["VDI_CBT_ENABLED", refs[0]] == await _not_moved(lab, refs[0])
    for ref in refs:
        await lab.session_call("VDI.disable_cbt", ref)
    assert ["VDI_CBT_ENABLED"] == (await _not_moved(lab, refs[0]))[:1], "the snapshot is tracked"
    await lab.close(during.name, committed=True)
    request = simulator_pb2.MigrateDiskRequest(disk_id=disk, storage="Plain storage")
    moved = (await lab.simulator.MigrateDisk(request)).disk_id
    again = await lab.open(await lab.vm("web"), bases(during))
    reasons = {each.disk_id: each.full_reason for each in again.disks}
    assert capture_pb2.FULL_REASON_DISK_REPLACED == reasons[moved]
    await lab.close(again.name, committed=False)


async def _not_moved(lab: Lab, disk: str) -> list[str]:
    [sr] = await lab.session_call("SR.get_by_name_label", "Plain storage")
    with pytest.raises(XenAPI.Failure) as refused:
        await lab.session_call("VDI.pool_migrate", disk, sr, {})
    return list(refused.value.details)


async def test_what_a_snapshot_that_failed_half_way_left_is_named_and_not_touched(lab: Lab) -> None:
    web = await lab.vm("web")
    request = simulator_pb2.FailSnapshotRequest(vm="web", after_disks=1)
    await lab.simulator.FailSnapshot(request)
    before = await lab.session_call("VDI.get_all_records")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await lab.open(web)
    after = await lab.session_call("VDI.get_all_records")
    [left] = [vdi["uuid"] for ref, vdi in after.items() if ref not in before and vdi["is_a_snapshot"]]
    assert f"were left behind: {left}." in (failed.value.details() or "")
    source = await lab.open(web)
    await lab.close(source.name, committed=False)
    assert left in {vdi["uuid"] for vdi in (await lab.session_call("VDI.get_all_records")).values()}


async def test_images_that_are_not_coalesced_make_the_next_snapshot_wait(lab: Lab) -> None:
    web = await lab.vm("web")
    await _stalled(lab, True)
    source = None
    for number in range(4):
        await lab.guest_writes(web.disks[0].disk_id, 0, bytes([number + 1]) * 4096)
        source = await lab.backed_up(web, bases(source) if source else ())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(web)
    assert "images that wait to be coalesced" in (refused.value.details() or "")
    told = await lab.event(events_pb2.SnapshotHindered)
    assert "SR_COALESCING" == told.reason
    await _stalled(lab, False)
    await lab.event(events_pb2.SnapshotPossible)
    again = await lab.open(web)
    await lab.close(again.name, committed=False)


async def test_a_chain_that_is_too_long_makes_the_next_snapshot_wait_until_it_is_shorter(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENKEEP_LONGEST_CHAIN", "3")
    await lab.process.stop()
    await lab.restarted()
    web = await lab.vm("web")
    [ref] = await lab.session_call("VM.get_by_name_label", "web")
    taken = []
    for number in range(3):
        for disk in web.disks:
            await lab.guest_writes(disk.disk_id, 0, bytes([number + 1]) * 4096)
        taken.append(await lab.session_call("VM.snapshot", ref, f"somebody's {number}"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(web)
    assert "stands on 3 images; a snapshot is taken below 3." in (refused.value.details() or "")
    told = await lab.event(events_pb2.SnapshotHindered)
    assert "DISK_CHAIN_LONG" == told.reason
    for snapshot in taken:
        drives = [
            await lab.session_call("VBD.get_record", each)
            for each in await lab.session_call("VM.get_VBDs", snapshot)
        ]
        await lab.session_call("VM.destroy", snapshot)
        for drive in drives:
            if drive["type"] == "Disk":
                await lab.session_call("VDI.destroy", drive["VDI"])
    await lab.event(events_pb2.SnapshotPossible)
    again = await lab.open(web)
    await lab.close(again.name, committed=False)


async def test_killed_while_a_vm_waits_the_next_process_tells_when_it_may_go_on(lab: Lab) -> None:
    web = await lab.vm("web")
    await _resized(lab, 1)
    with pytest.raises(grpc.aio.AioRpcError):
        await lab.open(web)
    await lab.event(events_pb2.SnapshotHindered)
    await lab.process.kill()
    await _resized(lab, TIB)
    await lab.restarted()
    possible = await lab.event(events_pb2.SnapshotPossible)
    assert web.name == possible.vm
    assert 1 == len([event for event in lab.events if isinstance(event, events_pb2.SnapshotHindered)])


async def _stalled(lab: Lab, stalled: bool) -> None:
    request = simulator_pb2.StallCoalescingRequest(storage="Shared storage", stalled=stalled)
    await lab.simulator.StallCoalescing(request)
