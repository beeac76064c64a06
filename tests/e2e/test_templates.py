"""A template of somebody's, backed up and put back as VMs are."""

import asyncio
import os

from tests.support.pool import MIB
from tests.support.stack import Stack
from tests.support.waiting import until_true

POLICY = """
name: golden
repository: main
templates: true
"""


def _template(stack: Stack, name: str) -> dict[str, object]:
    [found] = [vm for vm in stack.records("VM").values() if vm["name_label"] == name]
    assert found["is_a_template"]
    return found


def _names(stack: Stack) -> list[str]:
    return [vm.display_name for vm in stack.client.vms.list(templates=True)]


def test_a_template_comes_back_as_a_template(stack: Stack) -> None:
    [origin] = stack.xapi("VM.get_by_name_label", "spare")
    ref = stack.xapi("VM.clone", origin, "golden image")
    stack.xapi("VM.set_is_a_template", ref, True)
    asyncio.run(until_true(lambda: "golden image" in _names(stack)))
    [disk] = stack.disks("golden image")
    stack.guest_writes(disk, 0, os.urandom(MIB))
    listed = stack.data("vm", "list", "--templates")
    assert ["golden image"] == [vm["display_name"] for vm in listed]
    assert "golden image" not in [vm["display_name"] for vm in stack.data("vm", "list")]
    before = stack.hashes("golden image")
    first = stack.backup("golden image")
    assert ["LEVEL_FULL"] == [each["level"] for each in first["result"]["point"]["disks"]]
    second = stack.backup("golden image")
    assert ["LEVEL_INCREMENTAL"] == [each["level"] for each in second["result"]["point"]["disks"]]
    _template(stack, "golden image")
    point = second["result"]["point"]["point_id"]
    stack.ok("restore", point, "--name", "beside", "--wait")
    assert before == stack.hashes("beside")
    _template(stack, "beside")
    stack.guest_writes(disk, 0, os.urandom(MIB))
    stack.ok("restore", point, "--over-original", "--wait")
    assert before == stack.hashes("golden image")
    assert stack.xapi("VM.get_by_uuid", _template(stack, "golden image")["uuid"])
    stack.wait_until_nothing_is_left()


def test_a_policy_selects_templates_and_no_vm(stack: Stack) -> None:
    [origin] = stack.xapi("VM.get_by_name_label", "spare")
    stack.xapi("VM.set_is_a_template", stack.xapi("VM.clone", origin, "own"), True)
    asyncio.run(until_true(lambda: "own" in _names(stack)))
    (stack.folder / "golden.yaml").write_text(POLICY)
    stack.ok("policy", "apply", stack.folder / "golden.yaml")
    planned = {vm["vm_display_name"] for vm in stack.data("policy", "preview", "golden")["vms"]}
    assert "own" in planned
    assert not planned & {vm["display_name"] for vm in stack.data("vm", "list")}
