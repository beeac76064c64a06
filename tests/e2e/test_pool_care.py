"""A pool that cannot bear a snapshot now makes a VM wait, with the reason, and be skipped at last."""

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import XenAPI
from xenkeep.common.v1 import capture_pb2
from xenkeep.scheduler.v1 import run_pb2
from xenkeep.simulator.v1 import simulator_pb2, simulator_pb2_grpc

from tests.support.stack import MIB, REPOSITORY, Stack
from tests.support.waiting import until_true

TIB = 1 << 40
LEAVES_NOTHING = capture_pb2.CaptureOptions(
    reading=capture_pb2.ReadingOptions(without_tracking=capture_pb2.ReadingOptions.WITHOUT_TRACKING_READ_ALL)
)
HASTY = b"""
name: hasty
repository: main
vms: [web]
care: {patience: PT1S, migration: block}
"""

Resize = Callable[[int], None]


@pytest.fixture
def resize(stack: Stack) -> Iterator[Resize]:
    """Makes the pool's storage so large, and as large as it was in the end."""
    with grpc.insecure_channel(f"unix:{stack.pool.socket}") as channel:
        simulator = simulator_pb2_grpc.SimulatorServiceStub(channel)

        def resized(size_bytes: int) -> None:
            request = simulator_pb2.ResizeStorageRequest(storage="Shared storage", size_bytes=size_bytes)
            simulator.ResizeStorage(request)

        yield resized
        resized(TIB)


@pytest.fixture
def hold(stack: Stack) -> Iterator[Callable[[bool], None]]:
    """Whether storage migrations stop before they arrive; they do not in the end."""
    with grpc.insecure_channel(f"unix:{stack.pool.socket}") as channel:
        simulator = simulator_pb2_grpc.SimulatorServiceStub(channel)

        def held(whether: bool) -> None:
            simulator.HoldMigrations(simulator_pb2.HoldMigrationsRequest(held=whether))

        yield held
        held(False)


@pytest.fixture
def untracked(stack: Stack) -> Iterator[str]:
    """A VM that runs and whose changed blocks the pool's licence does not let be tracked. It is gone in the
    end, and with it what the next backup of it would start from.
    """
    with grpc.insecure_channel(f"unix:{stack.pool.socket}") as channel:
        simulator = simulator_pb2_grpc.SimulatorServiceStub(channel)
        restriction = simulator_pb2.SetRestrictionRequest(name="restrict_cbt", restricted=True)
        simulator.SetRestriction(restriction)
        [spare] = stack.xapi("VM.get_by_name_label", "spare")
        vm = stack.xapi("VM.clone", spare, "a disk that moves")
        stack.xapi("VM.start", vm, False, False)
        uuid = str(stack.xapi("VM.get_uuid", vm))
        stack.wait_until_listed(uuid)
        stack.guest_writes(stack.disks(uuid)[0], 0, os.urandom(8 * MIB))
        yield uuid
        stack.xapi("VM.hard_shutdown", vm)
        for disk in stack.disks(uuid):
            ref = stack.xapi("VDI.get_by_uuid", disk)
            for each in (*stack.xapi("VDI.get_snapshots", ref), ref):
                stack.xapi("VDI.destroy", each)
        stack.xapi("VM.destroy", vm)
        simulator.SetRestriction(simulator_pb2.SetRestrictionRequest(name="restrict_cbt", restricted=False))


def test_a_vm_waits_for_space_says_so_and_goes_on_when_the_pool_has_it(stack: Stack, resize: Resize) -> None:
    resize(1)
    run = stack.client.runs.backup(["web"], REPOSITORY)
    waiting = stack.watch(run.name, lambda now: any(" MiB free" in task.activity for task in now.tasks))
    shown = stack.ok("run", "show", run.name.removeprefix("runs/"))
    resize(TIB)
    done = stack.watch(run.name)

    assert run_pb2.Task.STATE_QUEUED == waiting.tasks[0].state
    assert "Shared storage" in shown
    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    assert ["SNAPSHOT_DELAYED"] == [notice.code for notice in done.tasks[0].notices]
    assert 1 == done.tasks[0].attempt


def test_a_vm_is_skipped_when_its_policys_patience_ends(stack: Stack, resize: Resize, tmp_path: Path) -> None:
    file = tmp_path / "hasty.yaml"
    file.write_bytes(HASTY)
    stack.ok("policy", "apply", file)
    assert "waits 0:00:01 for its pool at most, migrations are blocked" in stack.ok("policy", "show", "hasty")
    resize(1)

    ran = stack.run("run", "start", "hasty", "--wait")

    (run,) = [run for run in stack.client.runs.list() if run.spec.policy.policy == "policies/hasty"]
    (task,) = stack.client.runs.get(run.name).tasks
    assert ran.code != 0
    assert (run_pb2.Task.STATE_SKIPPED, "SR_SPACE_LOW") == (task.state, task.failure.reason)
    assert (run_pb2.Run.STATE_FAILED, "ALL_SKIPPED") == (run.state, run.failure.reason)
    stack.wait_until_nothing_is_left()


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("tasks_per_sr", "1 tasks on VMs with disks on its storage repository are under way"),
        ("tasks_per_host", "1 tasks on VMs of its host are under way"),
    ],
)
def test_what_a_policy_allows_at_once_of_a_storage_repository_or_a_host_is_kept_to(
    stack: Stack, tmp_path: Path, limit: str, told: str
) -> None:
    _move(stack, "web", "host1")
    file = tmp_path / "limited.yaml"
    file.write_text(f"name: limited\nrepository: main\nvms: [web, db]\nlimits: {{{limit}: 1}}\n")
    stack.ok("policy", "apply", file, "--replace")
    stack.control.limit(MIB)
    run = stack.data("run", "start", "limited", "--full")["name"]
    waiting = stack.watch(run, lambda now: any(told in task.activity for task in now.tasks))
    stack.control.limit(0)
    done = stack.watch(run)

    assert [run_pb2.Task.STATE_QUEUED] == [task.state for task in waiting.tasks if told in task.activity]
    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done


def _move(stack: Stack, vm: str, host: str) -> None:
    """Returns when Xenkeep knows."""
    (ref,) = stack.xapi("VM.get_by_name_label", vm)
    (target,) = stack.xapi("host.get_by_name_label", host)
    stack.xapi("VM.pool_migrate", ref, target, {"live": "true"})
    asyncio.run(until_true(lambda: stack.client.vms.get(vm).host_display_name == host))


def test_a_vm_that_migrates_in_the_middle_is_backed_up_whole(stack: Stack) -> None:
    before = stack.hashes("web")
    stack.control.limit(MIB)
    run = stack.client.runs.backup(["web"], REPOSITORY, full=True)
    stack.watch(run.name, lambda now: any(task.progress.read_bytes for task in now.tasks))
    (web,) = [ref for ref, vm in stack.records("VM").items() if vm["name_label"] == "web"]
    (host,) = [ref for ref, host in stack.records("host").items() if host["name_label"] == "host2"]
    stack.xapi("VM.pool_migrate", web, host, {"live": "true"})
    stack.control.limit(0)

    done = stack.watch(run.name)

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    point = done.tasks[0].result.point.point_id
    restored = stack.data("restore", point, "--name", "after the migration", "--wait")["tasks"][0]
    assert before == stack.hashes(restored["result"]["vm"])


def test_a_disk_that_moves_to_other_storage_in_the_middle_is_backed_up_whole(
    stack: Stack, untracked: str
) -> None:
    [disk] = stack.disks(untracked)
    before = stack.hashes(untracked)
    stack.control.limit(MIB)
    run = stack.client.runs.backup([untracked], REPOSITORY, full=True)
    stack.watch(run.name, lambda now: any(task.progress.read_bytes for task in now.tasks))
    [sr] = stack.xapi("SR.get_by_name_label", "Plain storage")
    ref = stack.xapi("VDI.get_by_uuid", disk)
    with pytest.raises(XenAPI.Failure, match="VDI_IN_USE"):
        stack.xapi("VDI.pool_migrate", ref, sr, {})
    stack.control.limit(0)

    done = stack.watch(run.name)

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    point = done.tasks[0].result.point.point_id
    for shown in (("point", "show", point), ("run", "show", run.name)):
        assert f"The VM lost disk 'spare disk 0' ({disk})" in _shown(stack, *shown)
    restored = stack.data("restore", point, "--name", "after the disk moved", "--wait")["tasks"][0]
    assert before == stack.hashes(restored["result"]["vm"])
    stack.xapi("VDI.destroy", ref)  # the pool left it where it was, without a VM
    stack.wait_until_nothing_is_left()
    again = stack.backup(untracked)
    assert ["FULL_REASON_DISK_REPLACED"] == [
        each["full_reason"] for each in again["result"]["point"]["disks"]
    ]


def _shown(stack: Stack, *command: str) -> str:
    """What a command prints, with lines that were wrapped in one piece."""
    return " ".join(stack.ok(*command).split())


def _one_more_disk(stack: Stack, vm: str, name: str) -> str:
    """UUID of a disk that a running VM gets; returns when Xenkeep knows."""
    ref, disks = stack.xapi("VM.get_by_uuid", vm), stack.disks(vm)
    sr = stack.xapi("VDI.get_SR", stack.xapi("VDI.get_by_uuid", disks[0]))
    disk = {"name_label": name, "name_description": "", "SR": sr, "virtual_size": str(4 * MIB)}
    disk |= {"type": "user", "sharable": False, "read_only": False, "other_config": {}}
    made = stack.xapi("VDI.create", disk)
    place = str(len(disks))
    drive = {"VM": ref, "VDI": made, "userdevice": place, "bootable": False, "mode": "RW", "type": "Disk"}
    drive |= {"unpluggable": True, "empty": False, "other_config": {}, "qos_algorithm_type": ""}
    stack.xapi("VBD.plug", stack.xapi("VBD.create", drive | {"qos_algorithm_params": {}}))
    uuid = str(stack.xapi("VDI.get_uuid", made))
    stack.guest_writes(uuid, 0, os.urandom(MIB))
    asyncio.run(until_true(lambda: uuid in stack.disks(vm)))
    return uuid


def test_a_snapshot_that_moves_before_it_is_read_is_read_there_and_the_point_and_the_run_tell(
    stack: Stack, untracked: str
) -> None:
    _one_more_disk(stack, untracked, "second")  # of three, two are read at once
    third = _one_more_disk(stack, untracked, "third")
    before = stack.hashes(untracked)
    stack.control.limit(MIB)
    run = stack.client.runs.backup([untracked], REPOSITORY, full=True, options=LEAVES_NOTHING)
    stack.watch(run.name, lambda now: any(task.progress.read_bytes for task in now.tasks))
    [sr] = stack.xapi("SR.get_by_name_label", "Plain storage")
    stack.xapi("VDI.pool_migrate", stack.xapi("VDI.get_by_uuid", third), sr, {})
    stack.control.limit(0)

    done = stack.watch(run.name)

    assert run_pb2.Run.STATE_SUCCEEDED == done.state, done
    point = done.tasks[0].result.point
    assert 1 == [notice.code for notice in point.notices].count("SNAPSHOT_MOVED")
    for shown in (("point", "show", point.point_id), ("run", "show", run.name)):
        told = f"Disk 'third' ({third}) was moved to other storage while it was backed up"
        assert told in _shown(stack, *shown)
    name = "after its third disk moved"
    restored = stack.data("restore", point.point_id, "--name", name, "--wait")["tasks"][0]
    assert before == stack.hashes(restored["result"]["vm"])
    stack.wait_until_nothing_is_left()


def test_a_vm_that_is_being_migrated_waits_says_why_and_goes_on_when_that_has_ended(
    stack: Stack, untracked: str, hold: Callable[[bool], None]
) -> None:
    hold(True)
    disk = stack.xapi("VDI.get_by_uuid", stack.disks(untracked)[0])
    [sr] = stack.xapi("SR.get_by_name_label", "Plain storage")
    vm = stack.xapi("VM.get_by_uuid", untracked)
    why = "The VM is being migrated, or disks of it to other storage"
    with ThreadPoolExecutor(1) as administrator:
        moving = administrator.submit(stack.xapi, "VDI.pool_migrate", disk, sr, {})
        asyncio.run(until_true(lambda: bool(stack.xapi("VM.get_current_operations", vm))))
        waiting = []
        for _ in range(2):
            run = stack.client.runs.backup([untracked], REPOSITORY, options=LEAVES_NOTHING)
            waiting.append(stack.watch(run.name, lambda now: any(why in each.activity for each in now.tasks)))
        shown = [_shown(stack, "run", "show", each.name) for each in waiting]
        stack.ok("run", "cancel", waiting[0].name)
        cancelled = stack.watch(waiting[0].name)
        hold(False)
        moved = stack.xapi("VDI.get_uuid", moving.result())

    done = stack.watch(waiting[1].name)

    assert all(why in each for each in shown)
    assert run_pb2.Run.STATE_CANCELLED == cancelled.state
    assert (run_pb2.Run.STATE_SUCCEEDED, 1) == (done.state, done.tasks[0].attempt), done
    assert ["SNAPSHOT_DELAYED"] == [notice.code for notice in done.tasks[0].notices]
    assert [moved] == [each.disk_id for each in done.tasks[0].result.point.disks]
    assert why in _shown(stack, "run", "show", done.name)
    stack.wait_until_nothing_is_left()
