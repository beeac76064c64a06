"""Every field of a template before its backup and after its restore; what differs is that of a VM, less what
only a VM that may run has."""

from typing import Any

import pytest
from xenkeep.hypervisor.v1 import restore_target_pb2, vm_pb2

from tests.integration.hypervisor.test_what_comes_back import (
    ALWAYS_DIFFERS,
    NEW_VM_DIFFERS,
    NVRAM,
    OTHER_DEVICES_DIFFER,
    different,
    restored,
    rich_vm,
    told,
    without,
)
from tests.support.hypervisor import Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

Placement = restore_target_pb2.Placement
LIKE_THE_TEMPLATE = {
    "generation_id": "what is made of a template gets one of its own; the template keeps its",
    "power_state": "it is off before and after",
    "ha_always_run": "it never runs",
    "domid": "it never runs",
    "resident_on": "it never runs",
}


async def _rich_template(lab: Lab, name: str) -> vm_pb2.Vm:
    vm = await rich_vm(lab, name)
    ref = await lab.session_call("VM.get_by_uuid", vm.name.rpartition("/")[2])
    await lab.session_call("VM.set_appliance", ref, "OpaqueRef:NULL")  # no template is in one
    await lab.session_call("VM.set_is_a_template", ref, True)
    return await lab.vm_with(vm.name, lambda now: now.template)


def _assert_devices_are_as_before(before: dict[str, Any], after: dict[str, Any], may: set[str]) -> None:
    for kind in ("VBDs", "VIFs"):
        assert before[kind].keys() == after[kind].keys()
        for place, device in before[kind].items():
            assert different(device, after[kind][place]) <= may


async def test_over_the_original_every_field_comes_back_and_it_is_the_same_template(
    shared_lab: Lab,
) -> None:
    template = await _rich_template(shared_lab, "rich template")
    vm_id = template.name.rpartition("/")[2]
    before = await told(shared_lab, vm_id)
    done = await restored(shared_lab, template, mode=Placement.MODE_ORIGINAL)
    assert ([], template.name) == (list(done.notices), done.vm)
    after = await told(shared_lab, vm_id)
    assert (vm_id, True) == (after["uuid"], after["is_a_template"])
    _assert_devices_are_as_before(before, after, set(OTHER_DEVICES_DIFFER) - {"uuid"})
    assert before["other_config"]["mac_seed"] == after["other_config"]["mac_seed"]
    assert without(before["other_config"]) == without(after["other_config"])
    for place in ("VBDs", "VIFs", "other_config"):
        before[place] = after[place] = None
    assert different(before, after) <= set(ALWAYS_DIFFERS) - set(LIKE_THE_TEMPLATE)
    assert (NVRAM, 1, 1) == (after["NVRAM"], len(after["VTPMs"]), len(after["VGPUs"]))


async def test_a_new_template_has_all_but_the_identity(shared_lab: Lab) -> None:
    template = await _rich_template(shared_lab, "rich template too")
    before = await told(shared_lab, template.name.rpartition("/")[2])
    done = await restored(shared_lab, template, vm_display_name="beside")
    assert ["KEY_MATERIAL_LEFT_OUT"] == [notice.code for notice in done.notices]
    after = await told(shared_lab, done.vm.rpartition("/")[2])
    assert after["is_a_template"]
    assert different(before, after) <= set(NEW_VM_DIFFERS) - set(LIKE_THE_TEMPLATE)
    expected = without(before["other_config"]) | {"auto_poweron": "false"}
    assert expected == without(after["other_config"])
    _assert_devices_are_as_before(before, after, {*OTHER_DEVICES_DIFFER, "MAC"})


async def test_when_the_template_is_gone_it_is_made_again_under_its_uuid(shared_lab: Lab) -> None:
    template = await _rich_template(shared_lab, "rich template gone")
    vm_id = template.name.rpartition("/")[2]
    before = await told(shared_lab, vm_id)
    ref = await shared_lab.session_call("VM.get_by_uuid", vm_id)
    source = await shared_lab.backed_up(template)
    await shared_lab.session_call("VM.set_blocked_operations", ref, {})
    await shared_lab.session_call("VM.destroy", ref)
    done = await restored(shared_lab, source, mode=Placement.MODE_ORIGINAL)
    after = await told(shared_lab, vm_id)
    assert (template.name, True) == (done.vm, after["is_a_template"])
    assert (before["name_label"], before["tags"]) == (after["name_label"], after["tags"])
