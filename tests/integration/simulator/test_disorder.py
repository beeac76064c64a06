"""What the control API does to a pool, and what a client sees of it."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.simulator.v1 import simulator_pb2 as pb
from xenkeep.simulator.v1.simulator_pb2_grpc import SimulatorServiceStub

from services.simulator.control.server import ControlServer
from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """A running VM with two disks, and two SRs."""
    disks = [DiskDescription(size_bytes=4 * MIB), DiskDescription(size_bytes=4 * MIB)]
    vm = VmDescription(name="web", host="host-1", disks=disks)
    storage = [StorageDescription(name="one"), StorageDescription(name="two", size_bytes=64 * MIB)]
    async with running(describe(tmp_path / "pool", vms=[vm], storage=storage)) as simulation:
        yield simulation


@pytest.fixture
async def sdk(simulation: Simulation) -> AsyncIterator[Sdk]:
    sdk = await Sdk(simulation).log_in()
    yield sdk
    sdk.close()


@pytest.fixture
async def control(simulation: Simulation, tmp_path: Path) -> Any:
    socket = tmp_path / "control.sock"
    channel = grpc.aio.insecure_channel(f"unix:{socket}")
    async with ControlServer(simulation.pool, socket), channel:
        yield SimulatorServiceStub(channel)


async def the_vm(sdk: Sdk) -> str:
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    return str(vm)


async def first_disk(sdk: Sdk) -> tuple[str, str]:
    (ref,) = await sdk.call("VDI.get_by_name_label", "web disk 0")
    return ref, await sdk.call("VDI.get_uuid", ref)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or ""


async def test_a_repository_that_shrinks_is_full(control: Any, sdk: Sdk, simulation: Simulation) -> None:
    answer = await control.ResizeStorage(pb.ResizeStorageRequest(storage="one", size_bytes=0))
    assert answer.used_bytes > 0
    (sr,) = await sdk.call("SR.get_by_name_label", "one")
    assert await sdk.call("SR.get_physical_size", sr) == "0"
    failure = await sdk.refused("VM.snapshot", await the_vm(sdk), "s")
    assert failure[0] == "SR_BACKEND_FAILURE_44"
    assert await sdk.call("VM.get_snapshots", await the_vm(sdk)) == []
    await control.ResizeStorage(pb.ResizeStorageRequest(storage="one", size_bytes=64 * MIB))
    await sdk.call("VM.snapshot", await the_vm(sdk), "s")


async def test_tracking_of_changed_blocks_is_lost_on_command(control: Any, sdk: Sdk) -> None:
    ref, uuid = await first_disk(sdk)
    request = pb.LoseChangedBlockTrackingRequest(disk_id=uuid)
    code, text = await refusal(control.LoseChangedBlockTracking(request))
    assert (code, uuid in text) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    await sdk.call("VDI.enable_cbt", ref)
    base = await sdk.call("VDI.snapshot", ref)
    await control.LoseChangedBlockTracking(request)
    assert not await sdk.call("VDI.get_cbt_enabled", ref)
    names = [record["name"] for record in (await sdk.call("message.get_all_records")).values()]
    assert "VDI_CBT_METADATA_INCONSISTENT" in names
    later = await sdk.call("VDI.snapshot", ref)
    failure = await sdk.refused("VDI.list_changed_blocks", base, later)
    assert failure[0] == "SR_BACKEND_FAILURE_460"


async def test_tracking_is_lost_by_a_snapshot_or_a_resize_that_succeeds(control: Any, sdk: Sdk) -> None:
    """sm: libs/sm/VDI.py ``_cbt_snapshot``, ``_disable_cbt_on_error``."""
    ref, uuid = await first_disk(sdk)
    await sdk.call("VM.hard_shutdown", await the_vm(sdk))
    for moment, call, message in (
        (
            pb.LoseChangedBlockTrackingRequest.MOMENT_SNAPSHOT,
            ("VDI.snapshot", ref),
            "VDI_CBT_SNAPSHOT_FAILED",
        ),
        (
            pb.LoseChangedBlockTrackingRequest.MOMENT_RESIZE,
            ("VDI.resize", ref, str(8 * MIB)),
            "VDI_CBT_RESIZE_FAILED",
        ),
    ):
        await sdk.call("VDI.enable_cbt", ref)
        base = await sdk.call("VDI.snapshot", ref)
        await control.LoseChangedBlockTracking(
            pb.LoseChangedBlockTrackingRequest(disk_id=uuid, moment=moment)
        )
        assert await sdk.call("VDI.get_cbt_enabled", ref), "not before its moment"
        made = await sdk.call(*call)
        assert not await sdk.call("VDI.get_cbt_enabled", ref)
        told = (await sdk.call("message.get_all_records")).values()
        assert [each["priority"] for each in told if each["name"] == message] == ["3"]
        later = made or await sdk.call("VDI.snapshot", ref)
        assert not await sdk.call("VDI.get_cbt_enabled", later)
        failure = await sdk.refused("VDI.list_changed_blocks", base, later)
        assert failure[0] == "SR_BACKEND_FAILURE_460"


async def test_a_snapshot_breaks_off_half_way_and_leaves_a_disk(control: Any, sdk: Sdk) -> None:
    vm = await the_vm(sdk)
    await control.FailSnapshot(pb.FailSnapshotRequest(vm="web", after_disks=1))
    failure = await sdk.refused("VM.snapshot", vm, "half")
    assert failure[0] == "SR_BACKEND_FAILURE_46"
    assert await sdk.call("VM.get_snapshots", vm) == []
    disks = (await sdk.call("VDI.get_all_records")).values()
    (orphan,) = [disk for disk in disks if disk["is_a_snapshot"]]
    assert (orphan["name_label"][:-1], orphan["VBDs"]) == ("web disk ", [])
    await sdk.call("VM.snapshot", vm, "whole")


async def test_a_guest_that_refuses_runs_on(control: Any, sdk: Sdk) -> None:
    vm = await the_vm(sdk)
    await control.SetShutdown(pb.SetShutdownRequest(vm="web", refused=True))
    assert await sdk.refused("VM.clean_shutdown", vm) == ["VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT", vm]
    assert await sdk.call("VM.get_power_state", vm) == "Running"
    await sdk.call("VM.shutdown", vm)
    assert await sdk.call("VM.get_power_state", vm) == "Halted"


async def test_a_guest_that_will_not_sleep_keeps_running(control: Any, sdk: Sdk) -> None:
    vm = await the_vm(sdk)
    await control.SetSuspend(pb.SetSuspendRequest(vm="web", refused=True))
    assert await sdk.refused("VM.checkpoint", vm, "memory") == ["VM_FAILED_SUSPEND_ACKNOWLEDGMENT", vm]
    assert await sdk.call("VM.get_power_state", vm) == "Running"
    assert await sdk.call("VM.get_snapshots", vm) == []
    await control.SetSuspend(pb.SetSuspendRequest(vm="web", reason="a device is passed through"))
    refusal = ["VM_NON_SUSPENDABLE", vm, "a device is passed through"]
    assert await sdk.refused("VM.suspend", vm) == refusal
    assert "suspend" not in await sdk.call("VM.get_allowed_operations", vm)
    await control.SetSuspend(pb.SetSuspendRequest(vm="web"))
    await sdk.run("VM.suspend", vm)


async def test_memory_needs_room(control: Any, sdk: Sdk) -> None:
    vm = await the_vm(sdk)
    await control.ResizeStorage(pb.ResizeStorageRequest(storage="one", size_bytes=64 * MIB))
    sr = (await sdk.call("SR.get_by_name_label", "one"))[0]
    assert await sdk.refused("VM.checkpoint", vm, "memory") == ["SR_SUSPEND_SPACE_INSUFFICIENT", sr]
    assert await sdk.call("VM.get_power_state", vm) == "Running"


async def test_a_slow_shutdown_can_be_called_off(control: Any, sdk: Sdk) -> None:
    vm = await the_vm(sdk)
    await control.SetShutdown(pb.SetShutdownRequest(vm="web", delay_milliseconds=60_000))
    task = await sdk.call("Async.VM.clean_shutdown", vm)
    await sdk.call("task.cancel", task)
    assert (await sdk.wait_for_task(task))["status"] == "cancelled"
    assert await sdk.call("VM.get_power_state", vm) == "Running"
    await control.SetShutdown(pb.SetShutdownRequest(vm="web"))
    await sdk.run("VM.clean_shutdown", vm)


async def test_a_shutdown_under_way_ends_when_the_guest_is_told_to_be_quicker(control: Any, sdk: Sdk) -> None:
    vm = await the_vm(sdk)
    await control.SetShutdown(pb.SetShutdownRequest(vm="web", delay_milliseconds=3_600_000))
    task = await sdk.call("Async.VM.clean_shutdown", vm)
    await control.SetShutdown(pb.SetShutdownRequest(vm="web", delay_milliseconds=3_500_000))
    assert await sdk.call("task.get_status", task) == "pending"
    await control.SetShutdown(pb.SetShutdownRequest(vm="web"))
    assert (await sdk.wait_for_task(task))["status"] == "success"
    assert await sdk.call("VM.get_power_state", vm) == "Halted"


async def test_a_feature_of_the_licence_expires(control: Any, sdk: Sdk) -> None:
    ref, _ = await first_disk(sdk)
    await control.SetRestriction(pb.SetRestrictionRequest(name="restrict_cbt", restricted=True))
    assert await sdk.refused("VDI.enable_cbt", ref) == ["LICENCE_RESTRICTION", "CBT"]
    (host,) = await sdk.call("host.get_all")
    assert (await sdk.call("host.get_license_params", host))["restrict_cbt"] == "true"
    await control.SetRestriction(pb.SetRestrictionRequest(name="restrict_cbt", restricted=False))
    await sdk.call("VDI.enable_cbt", ref)
    code, text = await refusal(control.SetRestriction(pb.SetRestrictionRequest(name="restrict_all")))
    assert (code, "restrict_cbt" in text) == (grpc.StatusCode.NOT_FOUND, True)


async def test_a_host_shows_its_new_certificate(control: Any, sdk: Sdk, simulation: Simulation) -> None:
    address = ("127.0.0.11", simulation.pool.description.https_port)
    before = await asyncio.to_thread(ssl.get_server_certificate, address)
    answer = await control.ReplaceCertificate(pb.ReplaceCertificateRequest(host="host-1"))
    after = await asyncio.to_thread(ssl.get_server_certificate, address)
    assert before != after
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(after)).hexdigest()
    assert answer.fingerprint.replace(":", "").lower() == digest
    (host,) = await sdk.call("host.get_all")
    assert await sdk.call("host.get_server_certificate", host) == after
    records = (await sdk.call("Certificate.get_all_records")).values()
    (record,) = [record for record in records if record["type"] == "host"]
    assert record["fingerprint"] == answer.fingerprint
    await control.ReplaceCertificate(pb.ReplaceCertificateRequest(host="host-1"))
    await sdk.call("VM.get_all")  # connections that are open go on


async def test_sessions_expire_on_command(control: Any, sdk: Sdk) -> None:
    handle = sdk.session.handle
    await control.ExpireSessions(pb.ExpireSessionsRequest())
    answer = await asyncio.to_thread(sdk.session.VM.get_all, handle)
    assert answer["ErrorDescription"] == ["SESSION_INVALID", handle]


async def test_an_old_token_misses_forgotten_deletions(control: Any, sdk: Sdk) -> None:
    secret = await sdk.call("secret.create", {"value": "x", "other_config": {}})
    batch = await sdk.call("event.from", ["secret"], "", 1.0)
    await sdk.call("secret.destroy", secret)
    answer = await control.ForgetDeletions(pb.ForgetDeletionsRequest(class_name="secret"))
    assert answer.count == 1
    later = await sdk.call("event.from", ["secret"], batch["token"], 0.0)
    assert later["events"] == []
    assert later["valid_ref_counts"]["secret"] == 0
    code, _ = await refusal(control.ForgetDeletions(pb.ForgetDeletionsRequest(class_name="frob")))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_disk_moves_while_its_vm_runs(control: Any, sdk: Sdk, simulation: Simulation) -> None:
    ref, uuid = await first_disk(sdk)
    write = pb.GuestWrite(offset_bytes=MIB, data=b"moving" * 512)
    await control.WriteGuest(pb.WriteGuestRequest(disk_id=uuid, writes=[write]))
    digest = (await control.HashDisk(pb.HashDiskRequest(disk_id=uuid))).sha256
    snapshot = await sdk.call("VDI.snapshot", ref)
    answer = await control.MigrateDisk(pb.MigrateDiskRequest(disk_id=uuid, storage="two"))
    assert (await control.HashDisk(pb.HashDiskRequest(disk_id=answer.disk_id))).sha256 == digest
    (moved, moved_uuid) = await first_disk_of(sdk, "web disk 0", excluding=snapshot)
    assert moved_uuid == answer.disk_id
    (two,) = await sdk.call("SR.get_by_name_label", "two")
    assert await sdk.call("VDI.get_SR", moved) == two
    assert await sdk.call("VDI.get_snapshot_of", snapshot) == ref, "a disk that is gone"
    (vbd,) = await sdk.call("VDI.get_VBDs", moved)
    assert await sdk.call("VBD.get_currently_attached", vbd)
    assert await sdk.refused("VDI.get_record", ref) == ["HANDLE_INVALID", "VDI", ref]


async def first_disk_of(sdk: Sdk, name: str, excluding: str) -> tuple[str, str]:
    (ref,) = [vdi for vdi in await sdk.call("VDI.get_by_name_label", name) if vdi != excluding]
    return ref, await sdk.call("VDI.get_uuid", ref)


async def test_a_tracked_disk_does_not_move(control: Any, sdk: Sdk) -> None:
    ref, uuid = await first_disk(sdk)
    await sdk.call("VDI.enable_cbt", ref)
    code, text = await refusal(control.MigrateDisk(pb.MigrateDiskRequest(disk_id=uuid, storage="two")))
    assert (code, "VDI_CBT_ENABLED" in text) == (grpc.StatusCode.FAILED_PRECONDITION, True)


async def test_what_is_not_there_is_answered_with_what_is(control: Any) -> None:
    for call in (
        control.ResizeStorage(pb.ResizeStorageRequest(storage="three")),
        control.FailSnapshot(pb.FailSnapshotRequest(vm="nobody")),
        control.ReplaceCertificate(pb.ReplaceCertificateRequest(host="host-9")),
        control.LoseChangedBlockTracking(pb.LoseChangedBlockTrackingRequest(disk_id="none")),
    ):
        code, text = await refusal(call)
        assert code is grpc.StatusCode.NOT_FOUND, text


async def test_chains_grow_while_the_garbage_collector_hangs(
    simulation: Simulation, sdk: Sdk, control: Any
) -> None:
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    disk = await sdk.call("VDI.get_record", (await disks_of(sdk, vm))[0])
    sr = simulation.pool.db.row("SR", disk["SR"])["name_label"]
    await control.StallCoalescing(pb.StallCoalescingRequest(storage=sr, stalled=True))
    for number in range(3):
        await control.RunWorkload(pb.RunWorkloadRequest(disk_id=disk["uuid"], seed=number, writes=2))
        taken = (await sdk.run("VM.snapshot", vm, f"{number}"))[7:-8]
        await sdk.run("VM.destroy", taken)
        for ref in [row.ref for row in simulation.pool.db.rows("VDI") if row["is_a_snapshot"]]:
            await sdk.run("VDI.destroy", ref)
    await simulation.pool.settled()
    assert await chain_length(sdk, disk["uuid"]) == 4
    answer = await control.StallCoalescing(pb.StallCoalescingRequest(storage=sr))
    assert answer.hidden_images >= 3
    await simulation.pool.settled()
    assert await chain_length(sdk, disk["uuid"]) == 1


async def test_a_script_writes_the_same_again_and_stops_with_the_vm(
    simulation: Simulation, sdk: Sdk, control: Any
) -> None:
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    uuids = [await sdk.call("VDI.get_uuid", disk) for disk in await disks_of(sdk, vm)]
    hashes = []
    for uuid in uuids:
        script = pb.RunWorkloadRequest(disk_id=uuid, seed=7, writes=5, write_bytes=4096)
        done = await control.RunWorkload(script)
        assert (done.writes, len(done.offsets_bytes)) == (5, 5)
        hashes.append((await control.HashDisk(pb.HashDiskRequest(disk_id=uuid))).sha256)
    assert hashes[0] == hashes[1]
    endless = control.RunWorkload(
        pb.RunWorkloadRequest(disk_id=uuids[0], seed=8, writes=100_000, write_bytes=512, pause_milliseconds=1)
    )
    await sdk.run("VM.hard_shutdown", vm)
    assert (await endless).writes < 100_000
    done = await control.RunWorkload(pb.RunWorkloadRequest(disk_id=uuids[0], seed=8, writes=1))
    assert done.writes == 0


async def disks_of(sdk: Sdk, vm: str) -> list[str]:
    records = [await sdk.call("VBD.get_record", vbd) for vbd in await sdk.call("VM.get_VBDs", vm)]
    return [record["VDI"] for record in records if record["type"] == "Disk"]


async def chain_length(sdk: Sdk, uuid: str) -> int:
    """Images from a disk down to its root."""
    length = 0
    while uuid:
        record = await sdk.call("VDI.get_record", await sdk.call("VDI.get_by_uuid", uuid))
        uuid, length = record["sm_config"].get("vhd-parent", ""), length + 1
    return length
