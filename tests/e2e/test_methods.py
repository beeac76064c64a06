"""VMs captured with their memory and put back: by the command line, bytes compared in the pool."""

from typing import Any

import pytest

from tests.support.stack import REPOSITORY, Stack

NULL = "OpaqueRef:NULL"


@pytest.fixture(scope="module")
def point(stack: Stack) -> dict[str, Any]:
    """A point of web with its memory; ``hashes`` are of its disks by id, as they were in the pool."""
    stack.control.limit(1 << 20)
    run = stack.data("backup", "web", "--to", REPOSITORY, "--method", "memory")["name"]
    stack.watch(run, lambda run: any(task.progress.read_bytes for task in run.tasks))
    hashes = {
        vdi["uuid"]: stack.control.sha256(vdi["uuid"])
        for vdi in stack.records("VDI").values()
        if vdi["is_a_snapshot"] and vdi["type"] == "suspend"
    }
    stack.control.limit(0)
    [task] = stack.watch(run).tasks
    assert "Running" == _record(stack, "web")["power_state"]
    stack.wait_until_nothing_is_left()
    found: dict[str, Any] = stack.data("point", "show", task.result.point.point_id)["point"]
    return found | {"hashes": hashes | dict(zip(stack.disks("web"), stack.hashes("web"), strict=True))}


def _record(stack: Stack, name: str) -> dict[str, Any]:
    [record] = [vm for vm in stack.records("VM").values() if vm["name_label"] == name]
    return record


def _image(stack: Stack, vm: dict[str, Any]) -> dict[str, Any]:
    return stack.records("VDI")[vm["suspend_VDI"]]


def test_a_point_holds_the_memory_as_one_more_disk(stack: Stack, point: dict[str, Any]) -> None:
    assert ("METHOD_MEMORY", "CONSISTENCY_MEMORY") == (point["method"], point["consistency"])
    assert ["0", "memory"] == [disk["device"] for disk in point["disks"]]
    image = point["disks"][-1]
    assert ("DISK_KIND_SUSPEND_IMAGE", "FULL_REASON_SUSPEND_IMAGE") == (image["kind"], image["full_reason"])
    assert {disk["disk_id"] for disk in point["disks"]} == set(point["hashes"])
    assert "memory" in stack.ok("point", "show", point["point_id"])


def test_a_vm_comes_back_suspended_with_its_memory_and_goes_on(stack: Stack, point: dict[str, Any]) -> None:
    run = stack.data("restore", point["point_id"], "--name", "web asleep", "--wait")
    [task] = run["tasks"]
    assert ["MEMORY_OF_THE_ORIGINAL"] == [notice["code"] for notice in task["result"]["notices"]]
    made = _record(stack, "web asleep")
    assert "Suspended" == made["power_state"]
    image = _image(stack, made)
    assert "suspend" == image["type"]
    wanted = {disk["device"]: point["hashes"][disk["disk_id"]] for disk in point["disks"]}
    assert wanted["memory"] == stack.control.sha256(image["uuid"])
    assert [wanted["0"]] == stack.hashes("web asleep")
    [ref] = stack.xapi("VM.get_by_name_label", "web asleep")
    stack.xapi("VM.resume", ref, False, False)
    assert ("Running", NULL) == tuple(_record(stack, "web asleep")[f] for f in ("power_state", "suspend_VDI"))
    stack.wait_until_nothing_is_left()


def test_over_the_original_it_is_resumed_at_the_moment_of_the_point(
    stack: Stack, point: dict[str, Any]
) -> None:
    before = _record(stack, "web")
    stack.guest_writes(stack.disks("web")[0], 0, b"lost" * 128)
    stack.data("restore", point["point_id"], "--over-original", "--start", "--wait")
    after = _record(stack, "web")
    assert (before["uuid"], "Running") == (after["uuid"], after["power_state"])
    assert [point["hashes"][point["disks"][0]["disk_id"]]] == stack.hashes("web")
    stack.wait_until_nothing_is_left()


def test_without_its_memory_it_comes_back_as_after_a_power_cut(stack: Stack, point: dict[str, Any]) -> None:
    run = stack.data("restore", point["point_id"], "--name", "web cut", "--memory", "without", "--wait")
    [task] = run["tasks"]
    assert ["MEMORY_NOT_RESTORED"] == [notice["code"] for notice in task["result"]["notices"]]
    assert "Halted" == _record(stack, "web cut")["power_state"]


def test_memory_that_cannot_be_had_fails_or_is_told_of(stack: Stack) -> None:
    ran = stack.run("backup", "spare", "--to", REPOSITORY, "--method", "memory", "--wait")
    assert ran.code != 0 and "it is off and has no memory" in ran.out + ran.err
    task = stack.backup("spare", "--method", "memory", "--prefer")
    assert "MEMORY_DOWNGRADED" in [notice["code"] for notice in task["result"]["notices"]]
    assert "not now, because it is off and has no memory" in stack.ok("vm", "show", "spare")
