import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import restore_target_pb2, vm_pb2
from xenkeep.simulator.v1 import simulator_pb2

from services.chassis.rpc.channel import error_from_rpc
from tests.support.hypervisor import Lab, bases
from tests.support.hypervisor_hooks import hook_server
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

OFFLINE, QUIESCED = capture_pb2.METHOD_OFFLINE, capture_pb2.METHOD_QUIESCED
MEMORY = capture_pb2.METHOD_MEMORY
BEFORE = capture_pb2.CaptureHook.MOMENT_BEFORE_SNAPSHOT
AFTER = capture_pb2.CaptureHook.MOMENT_AFTER_SNAPSHOT


async def _power(lab: Lab, vm: vm_pb2.Vm) -> str:
    ref = await lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    return str(await lab.session_call("VM.get_power_state", ref))


def _offline(**more: object) -> capture_pb2.CaptureOptions:
    return capture_pb2.CaptureOptions(offline=capture_pb2.OfflineOptions(**more))  # type: ignore[arg-type]


def _excluding(*rules: str) -> capture_pb2.CaptureOptions:
    return capture_pb2.CaptureOptions(disks=capture_pb2.DiskRules(exclude=rules))


async def _refused(lab: Lab, vm: vm_pb2.Vm, method: int, options: capture_pb2.CaptureOptions) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lab.open(vm, method=method, options=options)
    return error_from_rpc(refused.value).reason


async def test_a_vm_is_off_for_its_snapshot_alone(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    source = await shared_lab.open(vm, method=OFFLINE)
    assert (OFFLINE, capture_pb2.CONSISTENCY_POWERED_OFF) == (source.method, source.consistency)
    assert "Running" == await _power(shared_lab, vm)
    again = await shared_lab.vm_with(vm.name, lambda now: bool(now.host_id))
    assert vm.host_id == again.host_id
    await shared_lab.close(source.name, committed=True)


async def test_a_vm_stays_off_until_everything_has_been_read(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    source = await shared_lab.open(vm, method=OFFLINE, options=_offline(stay_off=True))
    assert "Halted" == await _power(shared_lab, vm)
    await shared_lab.close(source.name, committed=True)
    assert "Running" == await _power(shared_lab, vm)


async def test_a_vm_that_does_not_react_fails_its_backup_or_is_switched_off(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    deaf = simulator_pb2.SetShutdownRequest(
        vm=vm.name.rpartition("/")[2], refused=True, delay_milliseconds=600_000
    )
    await shared_lab.simulator.SetShutdown(deaf)
    soon = Duration(nanos=500_000_000)
    options = _offline(shutdown_deadline_duration=soon)
    assert "SHUTDOWN_REFUSED" == await _refused(shared_lab, vm, OFFLINE, options)
    assert "Running" == await _power(shared_lab, vm)
    options = _offline(shutdown_deadline_duration=soon, force=True)
    source = await shared_lab.open(vm, method=OFFLINE, options=options)
    assert ["VM_SWITCHED_OFF"] == [notice.code for notice in source.notices]
    assert "Running" == await _power(shared_lab, vm)
    await shared_lab.close(source.name, committed=False)


async def test_an_excluded_disk_is_neither_backed_up_nor_restored_and_that_is_told(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    source = await shared_lab.open(vm, options=_excluding("device:1"))
    assert ["0"] == [disk.device for disk in source.disks]
    assert ["DISK_EXCLUDED"] == [notice.code for notice in source.notices]
    await shared_lab.close(source.name, committed=True)
    [disk] = source.disks
    request = restore_target_pb2.PrepareRestoreTargetRequest(
        restore_target_id=source.name.rpartition("/")[2],
        placement=restore_target_pb2.Placement(pool=f"pools/{shared_lab.pool_id}"),
        vm_configuration=source.vm_configuration,
        disks=[restore_target_pb2.DiskToRestore(disk_id=disk.disk_id, size_bytes=disk.size_bytes)],
    )
    target = await shared_lab.targets.PrepareRestoreTarget(request, timeout=PATIENCE_S)
    assert ["DISK_NOT_RESTORED"] == [notice.code for notice in target.notices]
    given_up = restore_target_pb2.AbortRestoreTargetRequest(name=target.name)
    await shared_lab.targets.AbortRestoreTarget(given_up, timeout=PATIENCE_S)


async def test_rules_name_disks_by_place_tag_storage_and_size_and_no_disk_is_renamed(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    scratch = await shared_lab.session_call("VDI.get_by_uuid", vm.disks[1].disk_id)
    await shared_lab.session_call("VDI.set_tags", scratch, ["scratch"])
    names = [disk.display_name for disk in vm.disks]
    for rules, kept in (
        (capture_pb2.DiskRules(include=["device:1"]), ["1"]),
        (capture_pb2.DiskRules(exclude=["tag:scratch"]), ["0"]),
        (capture_pb2.DiskRules(include=["sr:Shared storage"], exclude=["device:0"]), ["1"]),
        (capture_pb2.DiskRules(exclude=[f"larger-than:{vm.disks[0].size_bytes}"]), ["0", "1"]),
    ):
        source = await shared_lab.open(vm, options=capture_pb2.CaptureOptions(disks=rules))
        assert kept == [disk.device for disk in source.disks], rules
        await shared_lab.close(source.name, committed=False)
    assert names == [disk.display_name for disk in (await shared_lab.vm(vm.name)).disks]


async def test_the_next_backup_tells_what_it_builds_on(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm(running=False)
    first = await shared_lab.backed_up(vm)
    assert {""} == {disk.base_tracking_ref for disk in first.disks}
    second = await shared_lab.open(vm, bases(first), options=_excluding("device:1"))
    assert [first.disks[0].tracking_ref] == [disk.base_tracking_ref for disk in second.disks]
    await shared_lab.close(second.name, committed=False)


async def test_what_cannot_be_done_is_refused_with_its_reason(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    assert "NOTHING_TO_CAPTURE" == await _refused(shared_lab, vm, OFFLINE, _excluding("name:*"))
    assert "DISK_RULE_INVALID" == await _refused(shared_lab, vm, OFFLINE, _excluding("uuid:1"))
    assert "OPTIONS_INVALID" == await _refused(shared_lab, vm, QUIESCED, _offline(force=True))
    nothing = capture_pb2.CaptureOptions()
    assert "QUIESCE_IMPOSSIBLE" == await _refused(shared_lab, vm, QUIESCED, nothing)
    assert "MEMORY_IMPOSSIBLE" == await _refused(
        shared_lab, vm, capture_pb2.METHOD_MEMORY, _excluding("device:1")
    )
    assert "Running" == await _power(shared_lab, vm)


async def test_what_should_be_quiesced_and_cannot_says_so(shared_lab: Lab) -> None:
    prefer = capture_pb2.QuiesceOptions(requirement=capture_pb2.QuiesceOptions.REQUIREMENT_PREFER)
    options = capture_pb2.CaptureOptions(quiesce=prefer)
    source = await shared_lab.open(await shared_lab.new_vm(), method=QUIESCED, options=options)
    assert ["QUIESCE_DOWNGRADED"] == [notice.code for notice in source.notices]
    assert capture_pb2.CONSISTENCY_CRASH == source.consistency
    await shared_lab.close(source.name, committed=False)


async def test_memory_is_a_disk_of_the_source_and_the_vm_runs_on(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    source = await shared_lab.open(vm, method=capture_pb2.METHOD_MEMORY)
    assert capture_pb2.CONSISTENCY_MEMORY == source.consistency
    image = source.disks[-1]
    assert (capture_pb2.DISK_KIND_SUSPEND_IMAGE, capture_pb2.FULL_REASON_SUSPEND_IMAGE, "memory") == (
        image.kind,
        image.full_reason,
        image.device,
    )
    assert image.nbd_endpoints
    assert await shared_lab.extents(source.name, image.disk_id)
    assert "Running" == await _power(shared_lab, vm)
    await shared_lab.close(source.name, committed=True)


async def test_the_memory_of_a_domain_controller_is_taken_only_if_the_policy_allows_it(
    shared_lab: Lab,
) -> None:
    vm = await shared_lab.new_vm()
    ref = await shared_lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    await shared_lab.session_call("VM.add_tags", ref, "domain-controller")
    now = await shared_lab.vm_with(vm.name, lambda now: bool(now.guest.domain_controller_hint))
    [memory] = [each for each in now.method_checks if each.method == MEMORY]
    assert (False, "memory.domain_controllers") == (memory.usable, memory.usable_with)
    assert "domain-controller" in memory.obstacle
    assert "MEMORY_IMPOSSIBLE" == await _refused(shared_lab, vm, MEMORY, capture_pb2.CaptureOptions())
    prefer = capture_pb2.MemoryOptions(requirement=capture_pb2.MemoryOptions.REQUIREMENT_PREFER)
    source = await shared_lab.open(vm, method=MEMORY, options=capture_pb2.CaptureOptions(memory=prefer))
    assert (capture_pb2.CONSISTENCY_CRASH, ["MEMORY_DOWNGRADED"]) == (
        source.consistency,
        [notice.code for notice in source.notices],
    )
    await shared_lab.close(source.name, committed=False)
    allowed = capture_pb2.MemoryOptions(domain_controllers=True)
    source = await shared_lab.open(vm, method=MEMORY, options=capture_pb2.CaptureOptions(memory=allowed))
    assert capture_pb2.CONSISTENCY_MEMORY == source.consistency
    await shared_lab.close(source.name, committed=False)


async def test_hooks_surround_the_snapshot_and_their_secrets_are_told_nobody(shared_lab: Lab) -> None:
    vm = await shared_lab.new_vm()
    async with hook_server(shared_lab.nats.tls("hooks")) as server:
        server.answers["/optional?token=swordfish"] = "503 Service Unavailable"
        hooks = [
            capture_pb2.CaptureHook(moment=BEFORE, url=server.url("/before?token=swordfish")),
            capture_pb2.CaptureHook(moment=AFTER, url=server.url("/after")),
            capture_pb2.CaptureHook(moment=AFTER, url=server.url("/optional?token=swordfish"), optional=True),
        ]
        options = capture_pb2.CaptureOptions(hooks=hooks)
        source = await shared_lab.open(vm, options=options)
        expected = ["/before?token=swordfish", "/after", "/optional?token=swordfish"]
        assert expected == [path for path, _ in server.called]
        assert {(vm.name, source.name)} == {(body["vm"], body["source"]) for _, body in server.called}
        assert ["HOOK_FAILED"] == [notice.code for notice in source.notices]
        assert "swordfish" not in source.notices[0].message
        await shared_lab.close(source.name, committed=False)
        server.answers["/before?token=swordfish"] = "500 Internal Server Error"
        assert "HOOK_FAILED" == await _refused(shared_lab, vm, OFFLINE, options)
        assert "Running" == await _power(shared_lab, vm)
    assert "swordfish" not in shared_lab.process.log.read_text()


async def test_a_vm_lists_the_methods_that_are_possible_now(shared_lab: Lab) -> None:
    running = await shared_lab.new_vm()
    able = [capture_pb2.METHOD_NORMAL, OFFLINE]
    with_memory = [*able, capture_pb2.METHOD_MEMORY]
    now = await shared_lab.vm_with(running.name, lambda now: len(now.methods) > 2)
    assert with_memory == list(now.methods)
    assert ("Debian GNU/Linux 12 (bookworm)", True) == (now.guest.os_name, now.guest.agent)
    told = {check.method: check for check in now.method_checks}
    assert (capture_pb2.CONSISTENCY_CRASH, capture_pb2.CONSISTENCY_POWERED_OFF) == (
        told[capture_pb2.METHOD_NORMAL].consistency,
        told[OFFLINE].consistency,
    )
    assert not told[QUIESCED].usable
    assert "agent" in told[QUIESCED].obstacle
    ref = await shared_lab.session_call("VM.get_by_uuid", running.name.rpartition("/")[2])
    await shared_lab.session_call("VM.add_to_blocked_operations", ref, "clean_shutdown", "by order")
    await shared_lab.vm_with(running.name, lambda now: OFFLINE not in now.methods)
    nothing = capture_pb2.CaptureOptions()
    assert "SHUTDOWN_IMPOSSIBLE" == await _refused(shared_lab, running, OFFLINE, nothing)
    halted = await shared_lab.new_vm(running=False)
    assert [*able, QUIESCED] == list(halted.methods)
