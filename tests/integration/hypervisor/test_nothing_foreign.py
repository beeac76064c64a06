"""What is made in a pool carries our marks from the first moment it can, and nothing else is changed."""

from typing import Any

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import vm_pb2

from tests.integration.hypervisor.test_what_comes_back import restored
from tests.support.hypervisor import Lab, bases

pytestmark = pytest.mark.asyncio(loop_scope="module")

Records = dict[str, dict[str, Any]]

BLOCKED = capture_pb2.CaptureOptions(
    care=capture_pb2.CareOptions(migration=capture_pb2.CareOptions.MIGRATION_BLOCK)
)
LINEAGE = "xenkeep:lineage"

KINDS = (
    "VM", "VDI", "VBD", "VIF", "VTPM", "VGPU", "SR", "PBD", "network", "PIF", "host", "pool", "VM_appliance",
)  # fmt: skip
OF_THE_MOMENT = {
    "VM": {"allowed_operations", "current_operations", "snapshots", "children", "parent"},
    "VDI": {
        "allowed_operations", "current_operations", "snapshots", "VBDs", "physical_utilisation", "parent",
        "sm_config", "location",
    },
    "VBD": {"allowed_operations", "current_operations"},
    "VIF": {"allowed_operations", "current_operations"},
    "SR": {"VDIs", "virtual_allocation", "physical_utilisation", "current_operations", "allowed_operations"},
    "host": {"allowed_operations", "current_operations", "resident_VMs"},
    "pool": {"allowed_operations", "current_operations"},
    "network": {"VIFs", "allowed_operations", "current_operations"},
}  # fmt: skip
"""What tells of other objects, or of what is under way. ``cbt_enabled`` is the one thing that is set."""
OF_A_RESTART = {
    "VM": {"domid", "resident_on", "last_boot_CPU_flags", "last_booted_record", "consoles", "guest_metrics"},
    "VBD": {"device", "currently_attached", "status_code", "status_detail", "runtime_properties"},
    "VIF": {"device", "currently_attached", "status_code", "status_detail", "runtime_properties"},
}
"""Of the VM alone that is shut down and started, or suspended and resumed."""


async def _all(lab: Lab) -> dict[str, Records]:
    found: dict[str, Records] = {kind: await lab.session_call(f"{kind}.get_all_records") for kind in KINDS}
    for vdi in found["VDI"].values():  # the toolstack's own, another one whenever a disk is attached
        vdi["other_config"].pop("content_id", None)
    return found


def _changes(before: dict[str, Records], after: dict[str, Records]) -> set[tuple[str, str, str]]:
    """(kind, UUID, field) of everything that is not as it was, "gone" instead of a field."""
    found = set()
    for kind, records in before.items():
        for ref, record in records.items():
            if not record.get("managed", True):
                continue  # a hidden image: the storage manager coalesces them
            now = after[kind].get(ref)
            if now is None:
                found.add((kind, record["uuid"], "gone"))
                continue
            fields = {field for field in record if record[field] != now[field]}
            found |= {(kind, record["uuid"], each) for each in fields - OF_THE_MOMENT.get(kind, set())}
    return found


def _made(before: dict[str, Records], after: dict[str, Records], kind: str) -> Records:
    """What a person may see of it: hidden parents are the storage manager's."""
    found = {ref: each for ref, each in after[kind].items() if ref not in before[kind]}
    return {ref: each for ref, each in found.items() if each.get("managed", True)}


def _marked(record: dict[str, Any], id: str) -> bool:
    config = record["other_config"]
    return (config.get("xenkeep:object"), config.get("xenkeep:backup_source")) == (record["uuid"], id)


async def _busy_vm(lab: Lab) -> vm_pb2.Vm:
    """With somebody's snapshot, note and block."""
    vm = await lab.new_vm()
    ref = await lab.session_call("VM.get_by_uuid", _uuid(vm.name))
    await lab.session_call("VM.snapshot", ref, "before the upgrade")
    await lab.session_call("VM.add_to_other_config", ref, "note", "theirs")
    await lab.session_call("VM.add_to_blocked_operations", ref, "migrate_send", "theirs")
    return vm


def _uuid(name: str) -> str:
    return name.rpartition("/")[2]


def _of_a_restart(vm_id: str, records: dict[str, Records]) -> set[tuple[str, str, str]]:
    [ref] = [ref for ref, vm in records["VM"].items() if vm["uuid"] == vm_id]
    found = {("VM", vm_id, field) for field in OF_A_RESTART["VM"]}
    for kind in ("VBD", "VIF"):
        mine = [device["uuid"] for device in records[kind].values() if device["VM"] == ref]
        found |= {(kind, device, field) for device in mine for field in OF_A_RESTART[kind]}
    return found


@pytest.mark.parametrize("method", ["NORMAL", "OFFLINE", "MEMORY"])
async def test_a_backup_marks_what_it_makes_and_changes_nothing_else(shared_lab: Lab, method: str) -> None:
    vm = await _busy_vm(shared_lab)
    before = await _all(shared_lab)
    source = await shared_lab.open(vm, method=f"METHOD_{method}", options=BLOCKED)
    during = await _all(shared_lab)
    made = {**_made(before, during, "VM"), **_made(before, during, "VDI")}
    assert len(made) == 1 + len(source.disks)
    assert [] == [each["name_label"] for each in made.values() if not _marked(each, _uuid(source.name))]
    devices = {**_made(before, during, "VBD"), **_made(before, during, "VIF")}.values()
    assert {each["VM"] for each in devices} <= set(_made(before, during, "VM"))
    await shared_lab.close(source.name, committed=True)
    incremental = await shared_lab.open(vm, bases(source))
    await shared_lab.close(incremental.name, committed=False)

    after = await _all(shared_lab)
    allowed = {("VDI", disk.disk_id, "cbt_enabled") for disk in vm.disks}
    if method != "NORMAL":
        allowed |= _of_a_restart(_uuid(vm.name), before)
    assert set() == _changes(before, after) - allowed
    left = _made(before, after, "VDI").values()
    assert len(vm.disks) == len(left)
    assert {("cbt_metadata", True)} == {(vdi["type"], LINEAGE in vdi["other_config"]) for vdi in left}
    assert {} == _made(before, after, "VM")


async def test_a_new_vm_is_made_beside_everything_and_bears_no_mark_of_ours(shared_lab: Lab) -> None:
    source = await shared_lab.backed_up(await _busy_vm(shared_lab))
    before = await _all(shared_lab)
    done = await restored(shared_lab, source, vm_display_name="beside")
    after = await _all(shared_lab)
    assert set() == _changes(before, after)
    [vm] = _made(before, after, "VM").values()
    assert _uuid(done.vm) == vm["uuid"]
    made = [vm, *_made(before, after, "VDI").values()]
    assert 1 + len(source.disks) == len(made)
    assert [] == [key for each in made for key in each["other_config"] if key.startswith("xenkeep:")]


async def test_a_backup_that_is_refused_has_changed_nothing_but_what_it_tracks(shared_lab: Lab) -> None:
    vm = await _busy_vm(shared_lab)
    before = await _all(shared_lab)
    with pytest.raises(grpc.aio.AioRpcError):
        await shared_lab.open(vm, method="METHOD_QUIESCED")
    assert {"cbt_enabled"} >= {field for _, _, field in _changes(before, await _all(shared_lab))}
