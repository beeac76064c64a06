"""VMs with memory: checkpoints, their images outside of the pool, and VMs resumed on them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.database.database import Change
from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_transfers import Web, web  # noqa: F401 - a fixture
from tests.integration.simulator.test_vm_life import only_vm

NULL = "OpaqueRef:NULL"


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """One running VM with little memory, so that its image is small."""
    disk = DiskDescription(size_bytes=8 * MIB)
    vm = VmDescription(name="web", host="host-1", disks=[disk], memory_bytes=16 * MIB)
    async with running(describe(tmp_path / "pool", vms=[vm])) as simulation:
        yield simulation


async def checkpoint(sdk: Sdk) -> tuple[str, str]:
    """The running VM and a checkpoint of it."""
    vm = await only_vm(sdk)
    text = await sdk.run("VM.checkpoint", vm, "with memory")
    return vm, text.removeprefix("<value>").removesuffix("</value>")


async def made(web: Web, sdk: Sdk, path: str, query: dict[str, str], body: bytes) -> dict[str, Any]:  # noqa: F811
    """The only VM that an import made."""
    _, task = await web.send("PUT", path, query, body)
    assert task["status"] == "success", task["error_info"]
    ref = "OpaqueRef:" + task["result"].partition("OpaqueRef:")[2][:36]
    return dict(await sdk.call("VM.get_record", ref)) | {"ref": ref}


async def image_of(sdk: Sdk, vm: str) -> dict[str, Any]:
    return dict(await sdk.call("VDI.get_record", await sdk.call("VM.get_suspend_VDI", vm)))


async def test_a_checkpoint_is_suspended_on_an_image_of_its_own_and_the_vm_runs_on(sdk: Sdk) -> None:
    vm, taken = await checkpoint(sdk)
    image = await image_of(sdk, taken)
    assert await sdk.call("VM.get_power_state", taken) == "Suspended"
    assert (image["type"], image["is_a_snapshot"]) == ("suspend", True)
    record = await sdk.call("VM.get_record", vm)
    assert (record["power_state"], record["suspend_VDI"]) == ("Running", NULL)


async def test_a_paused_vm_is_checkpointed_without_memory(sdk: Sdk) -> None:
    await sdk.run("VM.pause", await only_vm(sdk))
    vm, taken = await checkpoint(sdk)
    record = await sdk.call("VM.get_record", taken)
    assert (record["power_state"], record["suspend_VDI"]) == ("Halted", NULL)
    assert await sdk.call("VM.get_power_state", vm) == "Paused"


async def test_a_vm_is_made_and_resumed_on_an_image_that_was_copied_out_and_in(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm, taken = await checkpoint(sdk)
    image = await image_of(sdk, taken)
    content, _ = await web.send("GET", "/export_raw_vdi", {"vdi": image["uuid"]})
    size = int(image["virtual_size"])
    restored = await sdk.call(
        "VDI.create",
        {"SR": image["SR"], "virtual_size": str(size), "type": "suspend", "name_label": "restored",
         "sharable": False, "read_only": False, "other_config": {}},
    )  # fmt: skip
    _, task = await web.send("PUT", "/import_raw_vdi", {"vdi": restored}, content.content)
    assert task["status"] == "success", task["error_info"]
    record = await sdk.call("VM.get_record", taken)
    twin = await sdk.call("VM.create", record | {"power_state": "Suspended", "suspend_VDI": restored})
    await sdk.call("VM.set_is_a_template", twin, False)
    await sdk.run("VM.resume", twin, False, False)
    assert await sdk.call("VM.get_power_state", twin) == "Running"
    assert (await sdk.refused("VDI.get_uuid", restored))[0] == "HANDLE_INVALID"
    assert await sdk.call("VM.get_power_state", vm) == "Running"


async def test_a_vm_is_not_resumed_on_a_damaged_image(simulation: Simulation, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    await sdk.run("VM.suspend", vm)
    image = await image_of(sdk, vm)
    simulation.pool.repositories[image["SR"]].disk(image["uuid"]).write(MIB // 2, b"\xff" * 512)
    record = await sdk.wait_for_task(await sdk.call("Async.VM.resume", vm, False, False))
    assert (record["status"], record["error_info"][0]) == ("failure", "INTERNAL_ERROR")
    assert await sdk.call("VM.get_power_state", vm) == "Suspended"
    assert (await image_of(sdk, vm))["uuid"] == image["uuid"]


async def test_a_suspended_vm_travels_with_its_memory_when_asked(web: Web, sdk: Sdk) -> None:  # noqa: F811
    _, taken = await checkpoint(sdk)
    for asked, state in (("true", "Suspended"), ("false", "Halted")):
        query = {"ref": taken, "preserve_power_state": asked}
        archive, _ = await web.send("GET", "/export", query)
        twin = await made(web, sdk, "/import", {}, archive.content)
        assert twin["power_state"] == state
        assert (twin["suspend_VDI"] == NULL) == (state == "Halted")
    await sdk.run("VM.hard_shutdown", await only_vm(sdk))


async def test_metadata_of_a_suspended_vm_finds_its_image_again(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await only_vm(sdk)
    await sdk.run("VM.suspend", vm)
    image = await image_of(sdk, vm)
    archive, _ = await web.send("GET", "/export_metadata", {"ref": vm})
    await sdk.run("VM.destroy", vm)
    again = await made(web, sdk, "/import_metadata", {"restore": "true"}, archive.content)
    assert again["power_state"] == "Suspended"
    assert (await image_of(sdk, again["ref"]))["uuid"] == image["uuid"]
    await sdk.run("VM.resume", again["ref"], False, False)
    assert await sdk.call("VM.get_power_state", again["ref"]) == "Running"


async def test_a_vm_reverted_to_a_checkpoint_is_resumed_on_a_clone_of_its_memory(sdk: Sdk) -> None:
    vm, taken = await checkpoint(sdk)
    await sdk.run("VM.revert", taken)
    assert await sdk.call("VM.get_power_state", vm) == "Suspended"
    assert await sdk.call("VM.get_suspend_VDI", vm) != await sdk.call("VM.get_suspend_VDI", taken)
    await sdk.run("VM.resume", vm, False, False)
    assert await sdk.call("VM.get_power_state", vm) == "Running"
    assert await sdk.call("VM.get_power_state", taken) == "Suspended"


async def test_a_vm_stays_where_it_is_while_it_is_checkpointed(simulation: Simulation, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    host = await sdk.call("VM.get_resident_on", vm)
    seen: set[tuple[str, str]] = set()

    def look(change: Change) -> None:
        if change.row.ref == vm:
            seen.add((change.row["power_state"], change.row["resident_on"]))

    forget = simulation.pool.db.listen(look)
    await sdk.call("VM.checkpoint", vm, "memory")
    forget()
    assert seen == {("Running", host), ("Suspended", host)}


async def test_devices_of_a_suspended_vm_may_be_made_attached(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    (network,) = [await sdk.call("VIF.get_network", vif) for vif in await sdk.call("VM.get_VIFs", vm)]
    (pool,) = await sdk.call("pool.get_all")
    disk = {
        "SR": await sdk.call("pool.get_default_SR", pool),
        "virtual_size": str(2 * MIB),
        "type": "user",
        "sharable": False,
        "read_only": False,
        "other_config": {},
    }
    qos = {"other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}}
    attached: list[list[bool]] = []
    for state in ("VM.suspend", "VM.hard_shutdown"):
        await sdk.run(state, vm)
        number = str(5 + len(attached))
        drive = {"VM": vm, "VDI": await sdk.call("VDI.create", disk), "userdevice": number, "bootable": False}
        drive |= {
            "mode": "RW",
            "type": "Disk",
            "unpluggable": True,
            "empty": False,
            "currently_attached": True,
        }
        card = {"VM": vm, "network": network, "device": number, "MAC": "", "MTU": "1500"}
        vbd = await sdk.call("VBD.create", drive | qos | {"device": "xvdz"})
        vif = await sdk.call("VIF.create", card | qos | {"currently_attached": True})
        attached.append(
            [
                await sdk.call(f"{cls}.get_currently_attached", ref)
                for cls, ref in (("VBD", vbd), ("VIF", vif))
            ]
        )
    assert attached == [[True, True], [False, False]]
