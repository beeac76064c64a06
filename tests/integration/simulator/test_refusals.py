"""What a pool refuses, in xapi's words: codes and their parameters, where no recording tells them.

The rules are xapi's (ocaml/xapi): xapi_vm_lifecycle.ml, xapi_vm_helpers.ml, xapi_vdi.ml, xapi_vbd.ml and
import.ml.
"""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.dispatch.call import Call
from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from services.simulator.pool.operations import MAX_WAITING, vm_operation
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_transfers import Web
from tests.integration.simulator.test_vm_life import NULL, disk_of, snapshot

CONTROL_DOMAIN = ["OPERATION_NOT_ALLOWED", "This operation is not allowed on a control domain"]


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """``web`` and ``bare``, which has no tools, run on the first host; ``off`` and ``there`` are halted, the
    latter with its disk on the second host's own storage.
    """

    def vm(name: str, storage: str = "Shared", **values: Any) -> VmDescription:
        disk = DiskDescription(size_bytes=4 * MIB, storage=storage)
        return VmDescription(name=name, disks=[disk], **values)

    vms = [
        vm("web", host="host-1"),
        vm("bare", host="host-1", guest_tools=False),
        vm("off"),
        vm("there", storage="Local"),
    ]
    storage = [StorageDescription(name="Shared"), StorageDescription(name="Local", type="ext", host="host-2")]
    async with running(describe(tmp_path / "pool", 2, vms=vms, storage=storage)) as simulation:
        yield simulation


async def named(sdk: Sdk, name: str, cls: str = "VM") -> str:
    (ref,) = await sdk.call(f"{cls}.get_by_name_label", name)
    return str(ref)


POWER_STATES: list[tuple[str, str, list[Any], str, str]] = [
    ("web", "start", [False, False], "halted", "running"),
    ("web", "unpause", [], "paused", "running"),
    ("web", "resume", [False, False], "suspended", "running"),
    ("web", "destroy", [], "halted, suspended", "running"),
    ("web", "clone", ["c"], "halted", "running"),
    ("web", "set_NVRAM", [{}], "halted", "running"),
    ("off", "clean_shutdown", [], "running", "halted"),
    ("off", "suspend", [], "running", "halted"),
    ("off", "pause", [], "running", "halted"),
    ("off", "hard_reboot", [], "paused, running", "halted"),
    ("off", "hard_shutdown", [], "paused, suspended, running", "halted"),
    ("off", "checkpoint", ["c"], "paused, suspended, running", "halted"),
    ("off", "pool_migrate", [NULL, {}], "running", "halted"),
]
"""VM, call, the rest of its parameters, the states it takes, the state that the VM has."""


async def test_an_operation_takes_its_power_states(sdk: Sdk) -> None:
    for name, method, args, expected, actual in POWER_STATES:
        vm = await named(sdk, name)
        refusal = await sdk.refused(f"VM.{method}", vm, *args)
        assert refusal == ["VM_BAD_POWER_STATE", vm, expected, actual], method


async def test_templates_snapshots_and_control_domains_have_operations_of_their_own(
    simulation: Simulation, sdk: Sdk
) -> None:
    templates = await sdk.call("VM.get_all_records_where", 'field "is_default_template"="true"')
    template = next(iter(templates))
    taken = await snapshot(sdk, await named(sdk, "web"))
    dom0 = next(row.ref for row in simulation.pool.db.rows("VM") if row["is_control_domain"])
    for ref, method, args, refusal in (
        (template, "start", [False, False], ["VM_IS_TEMPLATE", template, "start"]),
        (template, "snapshot", ["s"], ["VM_IS_TEMPLATE", template, "snapshot"]),
        (template, "destroy", [], ["VM_IS_TEMPLATE", template, "destroy"]),
        (taken, "start", [False, False], ["VM_IS_SNAPSHOT", taken, "start"]),
        (taken, "snapshot", ["s"], ["VM_IS_SNAPSHOT", taken, "snapshot"]),
        (taken, "provision", [], ["VM_IS_SNAPSHOT", taken, "provision"]),
        (dom0, "snapshot", ["s"], CONTROL_DOMAIN),
        (dom0, "hard_shutdown", [], CONTROL_DOMAIN),
        (dom0, "power_state_reset", [], CONTROL_DOMAIN),
    ):
        assert await sdk.refused(f"VM.{method}", ref, *args) == refusal, method


async def test_a_guest_without_tools_is_asked_for_nothing(sdk: Sdk) -> None:
    bare = await named(sdk, "bare")
    for method, *args in (["clean_shutdown"], ["clean_reboot"], ["suspend"], ["checkpoint", "c"]):
        assert await sdk.refused(f"VM.{method}", bare, *args) == ["VM_LACKS_FEATURE", bare]
    vbd, vif = (await sdk.call("VM.get_VBDs", bare))[0], (await sdk.call("VM.get_VIFs", bare))[0]
    assert await sdk.refused("VBD.unplug", vbd) == ["VM_MISSING_PV_DRIVERS", bare]
    assert await sdk.refused("VIF.unplug", vif) == ["VM_MISSING_PV_DRIVERS", bare]
    await snapshot(sdk, bare)


async def test_a_vm_starts_where_it_may_or_nowhere(simulation: Simulation, sdk: Sdk) -> None:
    there, off = await named(sdk, "there"), await named(sdk, "off")
    here, other = [await named(sdk, name, "host") for name in ("host-1", "host-2")]
    local = await named(sdk, "Local", "SR")
    assert await sdk.refused("VM.start_on", there, here, False, False) == ["VM_REQUIRES_SR", there, local]
    (pbd,) = await sdk.call("SR.get_PBDs", local)
    await sdk.call("PBD.unplug", pbd)
    assert await sdk.refused("VM.start", there, False, False) == ["NO_HOSTS_AVAILABLE"]
    assert await sdk.refused("VDI.snapshot", await disk_of(sdk, there)) == ["SR_HAS_NO_PBDS", local]
    await sdk.call("host.disable", other)
    assert await sdk.refused("VM.start_on", off, other, False, False) == ["HOST_DISABLED", other]
    await simulation.pool.failures.kill(simulation.pool.host_named("host-2"))
    assert await sdk.refused("VM.start_on", off, other, False, False) == ["CANNOT_CONTACT_HOST", other]
    metrics = await sdk.call("host.get_metrics", other)
    simulation.pool.db.set("host_metrics", metrics, "live", False)
    assert await sdk.refused("VM.start_on", off, other, False, False) == ["HOST_NOT_LIVE"]


async def test_a_vm_that_ha_restarts_is_made_no_template(sdk: Sdk) -> None:
    off = await named(sdk, "off")
    await sdk.call("VM.set_ha_restart_priority", off, "restart")
    await sdk.call("pool.enable_ha", [await named(sdk, "Shared", "SR")], {})
    assert await sdk.refused("VM.set_is_a_template", off, True) == ["VM_IS_PROTECTED", off]
    await sdk.call("pool.disable_ha")
    await sdk.call("VM.set_is_a_template", off, True)
    assert await sdk.call("VM.get_ha_always_run", off) is False


async def test_memory_goes_somewhere_or_the_vm_runs_on(sdk: Sdk) -> None:
    web = await named(sdk, "web")
    (pool,) = await sdk.call("pool.get_all")
    for field in ("default_SR", "suspend_image_SR"):
        await sdk.call(f"pool.set_{field}", pool, NULL)
    assert await sdk.refused("VM.suspend", web) == ["VM_NO_SUSPEND_SR", web]
    assert await sdk.call("VM.get_power_state", web) == "Running"


async def test_a_disk_that_is_used_or_unfit_is_left_alone(sdk: Sdk) -> None:
    used, free = await disk_of(sdk, await named(sdk, "web")), await disk_of(sdk, await named(sdk, "off"))
    sr, local = await named(sdk, "Shared", "SR"), await named(sdk, "Local", "SR")
    small = await new(sdk, sr, 2 * MIB)
    fixed = await new(sdk, sr, 4 * MIB, read_only=True)
    shared = await new(sdk, sr, 4 * MIB, sharable=True)
    for method, ref, args, refusal in (
        ("destroy", used, [], ["VDI_IN_USE", used, "destroy"]),
        ("resize", used, [str(8 * MIB)], ["VDI_IN_USE", used, "resize"]),
        ("copy", used, [sr], ["VDI_IN_USE", used, "copy"]),
        ("forget", used, [], ["VDI_IN_USE", used, "forget"]),
        ("update", used, [], ["VDI_IN_USE", used, "update"]),
        ("copy", free, [NULL, NULL, small], ["VDI_TOO_SMALL", small, str(4 * MIB)]),
        ("copy", free, [NULL, NULL, fixed], ["VDI_READONLY", fixed]),
        ("snapshot", shared, [], ["VDI_IS_SHARABLE", shared]),
        ("clone", shared, [], ["VDI_IS_SHARABLE", shared]),
    ):
        assert await sdk.refused(f"VDI.{method}", ref, *args) == refusal, method
    elsewhere = await new(sdk, local, 4 * MIB)
    await sdk.call("VDI.enable_cbt", free)
    await sdk.call("VDI.enable_cbt", elsewhere)
    unrelated = "Failed to calculate changed blocks for given VDIs"
    unrelated += " [opterr=Source and target VDI are unrelated]"
    for pair in ((elsewhere, free), (free, free), (small, free)):
        refusal = await sdk.refused("VDI.list_changed_blocks", *pair)
        assert refusal == ["SR_BACKEND_FAILURE_460", "", unrelated, ""]
    assert await sdk.refused("VDI.set_on_boot", free, "reset") == ["VDI_CBT_ENABLED", free]
    disk = await sdk.call("VDI.snapshot", free)
    refusal = ["OPERATION_NOT_ALLOWED", f"VDI is a snapshot: {disk}"]
    assert await sdk.refused("VDI.enable_cbt", disk) == refusal
    assert await sdk.refused("VDI.disable_cbt", disk) == refusal
    image = next(iter(await sdk.call("SR.get_VDIs", await named(sdk, "XenServer Tools", "SR"))))
    tools = await sdk.call("VDI.get_SR", image)
    assert await sdk.refused("VDI.enable_cbt", image) == ["SR_OPERATION_NOT_SUPPORTED", tools]


async def test_what_a_vbd_shows_must_be_showable(sdk: Sdk) -> None:
    off = await named(sdk, "off")
    disk = await disk_of(sdk, off)
    await sdk.call("VDI.enable_cbt", disk)
    base = await sdk.call("VDI.snapshot", disk)
    await sdk.call("VDI.data_destroy", base)
    about = {"VM": off, "VDI": base, "userdevice": "autodetect", "bootable": False, "mode": "RO"}
    about |= {"type": "Disk", "unpluggable": True, "empty": False, "other_config": {}}
    about |= {"qos_algorithm_type": "", "qos_algorithm_params": {}}
    assert await sdk.refused("VBD.create", about) == ["VDI_INCOMPATIBLE_TYPE", base, "CBT metadata"]
    wrong = about | {"VDI": disk, "type": "CD", "mode": "RW"}
    assert await sdk.refused("VBD.create", wrong) == ["VBD_CDS_MUST_BE_READONLY"]
    fixed = await new(sdk, await named(sdk, "Shared", "SR"), 2 * MIB, read_only=True)
    assert await sdk.refused("VBD.create", about | {"VDI": fixed, "mode": "RW"}) == ["VDI_READONLY", fixed]
    taken = (await sdk.call("VM.get_VBDs", off))[0]
    device = await sdk.call("VBD.get_userdevice", taken)
    again = about | {"VDI": fixed, "userdevice": device}
    assert await sdk.refused("VBD.create", again) == ["DEVICE_ALREADY_EXISTS", device]
    used = (await sdk.call("VM.get_VBDs", await named(sdk, "web")))[0]
    uuids = [await sdk.call("VBD.get_uuid", used), await sdk.call("VM.get_uuid", await named(sdk, "web"))]
    refusal = ["OPERATION_NOT_ALLOWED", "VBD '{}' still attached to '{}'".format(*uuids)]
    assert await sdk.refused("VBD.destroy", used) == refusal


async def test_an_archive_must_be_one_and_new(simulation: Simulation, sdk: Sdk) -> None:
    web = Web(simulation, sdk)
    _, task = await web.send("PUT", "/import", {}, tar_member("other.xml", b"<x/>"))
    assert task["error_info"] == ["IMPORT_ERROR_UNEXPECTED_FILE", "ova.xml", "other.xml"]
    off = await named(sdk, "off")
    archive, _ = await web.send("GET", "/export_metadata", {"ref": off})
    seed = (await sdk.call("VM.get_other_config", off))["mac_seed"]
    strange = archive.content.replace((await sdk.call("VM.get_uuid", off)).encode(), b"0" * 36)
    _, task = await web.send("PUT", "/import_metadata", {"restore": "true"}, strange)
    assert task["error_info"] == ["DUPLICATE_MAC_SEED", seed]
    sr = await sdk.call("SR.get_uuid", await named(sdk, "Shared", "SR"))
    _, task = await web.send("PUT", "/import_metadata", {}, archive.content.replace(sr.encode(), b"0" * 36))
    assert task["error_info"] == ["VDI_CONTENT_ID_MISSING"]
    await web.client.aclose()


def tar_member(name: str, data: bytes) -> bytes:
    """One file, as a tar without an end."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


async def new(sdk: Sdk, sr: str, size: int, **values: bool) -> str:
    record = {"name_label": "n", "SR": sr, "virtual_size": str(size), "type": "user", "other_config": {}}
    return str(await sdk.call("VDI.create", record | {"sharable": False, "read_only": False} | values))


async def test_only_so_many_calls_wait_for_their_turn(simulation: Simulation) -> None:
    sdk = await Sdk(simulation).log_in()
    vm, pool = await named(sdk, "off"), simulation.pool
    call = Call(pool, pool.coordinator, None, session="")
    free = asyncio.Event()

    async def wait_turn(number: int) -> int:
        async with vm_operation(call, vm, "clone"):
            await free.wait()
        return number

    async with vm_operation(call, vm, "make_into_template"):
        waiting = [asyncio.create_task(wait_turn(number)) for number in range(MAX_WAITING + 1)]
        await asyncio.sleep(0)
        assert pool.waiting == MAX_WAITING + 1
        assert await sdk.refused("VM.clone", vm, "one too many") == ["TOO_MANY_PENDING_TASKS"]
    free.set()
    assert sorted(await asyncio.gather(*waiting)) == list(range(MAX_WAITING + 1))
    assert pool.waiting == 0
    assert await sdk.call("VM.clone", vm, "in its turn")
    sdk.close()
