"""Snapshots that somebody took of a VM, saved with it: read once, restored byte for byte, left alone."""

import os
from typing import Any

from tests.support.pool import MIB
from tests.support.stack import Stack


def _own(point: dict[str, Any]) -> list[dict[str, Any]]:
    return [disk for disk in point["disks"] if disk.get("kind") == "DISK_KIND_OWN_SNAPSHOT"]


def _read(disks: list[dict[str, Any]]) -> int:
    return sum(int(disk.get("read_bytes", 0)) for disk in disks)


def test_a_vm_is_made_of_a_snapshot_that_was_saved_and_it_is_read_once(stack: Stack) -> None:
    [origin] = stack.xapi("VM.get_by_name_label", "spare")
    vm = stack.xapi("VM.clone", origin, "snapped")
    stack.wait_until_listed("snapped")
    [disk] = stack.disks("snapped")
    stack.guest_writes(disk, 0, os.urandom(MIB))
    before = stack.hashes("snapped")
    taken = stack.xapi("VM.snapshot", vm, "before the upgrade")
    stack.guest_writes(disk, 0, os.urandom(MIB))
    after = stack.hashes("snapped")
    first = stack.backup("snapped", "--own-snapshots")["result"]["point"]
    assert (1, True) == (len(_own(first)), _read(_own(first)) >= MIB)
    assert [True] == [each["saved"] for each in first["vm_snapshots"]]
    stack.guest_writes(disk, 0, os.urandom(64 * 1024))
    second = stack.backup("snapped", "--own-snapshots")["result"]["point"]
    assert (["LEVEL_INCREMENTAL"], 0) == ([each["level"] for each in _own(second)], _read(_own(second)))
    assert "LEVEL_INCREMENTAL" == second["level"]
    stack.ok("restore", second["point_id"], "--own-snapshot", "before the upgrade", "--wait")
    made = [each for each in stack.records("VM").values() if each["name_label"] == "before the upgrade"]
    [uuid] = [each["uuid"] for each in made if not each["is_a_snapshot"]]
    stack.wait_until_listed(uuid)
    assert before == stack.hashes(uuid)
    stack.ok("restore", first["point_id"], "--name", "snapped, itself", "--wait")
    assert after == stack.hashes("snapped, itself")
    code, error = stack.refused("restore", second["point_id"], "--own-snapshot", "another")
    assert "SNAPSHOT_NOT_IN_POINT" == error["reason"]
    assert "'before the upgrade'" in error["hint"]
    assert code
    shown = stack.ok("point", "show", second["point_id"])
    assert "before the upgrade" in shown
    assert stack.xapi("VM.get_is_a_snapshot", taken)
    drives = [stack.xapi("VBD.get_record", ref) for ref in stack.xapi("VM.get_VBDs", taken)]
    stack.xapi("VM.destroy", taken)
    for drive in drives:
        if drive["type"] == "Disk":
            stack.xapi("VDI.destroy", drive["VDI"])
    third = stack.backup("snapped", "--own-snapshots")["result"]["point"]
    assert ([], "LEVEL_INCREMENTAL") == (_own(third), third["level"])
    stack.wait_until_nothing_is_left()
