"""Exports and imports over HTTP, and what their tasks say."""

import asyncio
import os
import ssl
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.simulator.pool.description import StorageDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_vm_life import disk_of, only_vm
from tests.support.waiting import PATIENCE_S


class Web:
    """HTTP to the pool's first host, with a session and a task of its own for every request."""

    def __init__(self, simulation: Simulation, sdk: Sdk) -> None:
        self.address = f"https://127.0.0.11:{simulation.pool.description.https_port}"
        self.sdk = sdk
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.client = httpx.AsyncClient(verify=context, timeout=PATIENCE_S)

    async def send(
        self, method: str, path: str, params: dict[str, str], body: bytes | None = None
    ) -> tuple[httpx.Response, dict[str, Any]]:
        """The answer, and the record of its task once that has ended."""
        task = await self.sdk.call("task.create", path, "")
        query = params | {"session_id": self.sdk.session.handle, "task_id": task}
        response = await self.client.request(method, f"{self.address}{path}", params=query, content=body)
        if response.status_code != 200:
            return response, dict(await self.sdk.call("task.get_record", task))
        return response, await self.sdk.wait_for_task(task)


@pytest.fixture
async def web(simulation: Simulation, sdk: Sdk) -> Any:
    web = Web(simulation, sdk)
    yield web
    await web.client.aclose()


async def new_disk(sdk: Sdk, size: int = 4 * MIB) -> str:
    (pool,) = await sdk.call("pool.get_all")
    record = {
        "name_label": "new",
        "SR": await sdk.call("pool.get_default_SR", pool),
        "virtual_size": str(size),
        "type": "user",
        "sharable": False,
        "read_only": False,
        "other_config": {},
    }
    return str(await sdk.call("VDI.create", record))


async def test_raw_import_and_export_are_the_same_bytes(web: Web, sdk: Sdk) -> None:
    disk = await new_disk(sdk)
    content = os.urandom(MIB) + bytes(2 * MIB) + os.urandom(MIB)
    response, task = await web.send("PUT", "/import_raw_vdi", {"vdi": disk, "format": "raw"}, content)
    assert (response.status_code, task["status"], task["result"]) == (
        200,
        "success",
        f"<value>{disk}</value>",
    )
    response, task = await web.send("GET", "/export_raw_vdi/", {"vdi": disk})
    assert (task["status"], task["result"]) == ("success", "")
    assert response.content == content
    assert "content-length" not in response.headers
    uuid = await sdk.call("VDI.get_uuid", disk)
    assert response.headers["content-disposition"] == f'attachment; filename="{uuid}.raw"'
    assert await sdk.call("VDI.get_VBDs", disk) == []


async def test_a_vhd_travels_from_disk_to_disk(web: Web, sdk: Sdk) -> None:
    source, target = await new_disk(sdk), await new_disk(sdk)
    content = os.urandom(4 * MIB)
    await web.send("PUT", "/import_raw_vdi", {"vdi": source}, content)
    image, _ = await web.send("GET", "/export_raw_vdi", {"vdi": source, "format": "vhd"})
    _, task = await web.send("PUT", "/import_raw_vdi", {"vdi": target, "format": "vhd"}, image.content)
    assert task["status"] == "success"
    copy, _ = await web.send("GET", "/export_raw_vdi", {"vdi": target})
    assert copy.content == content


async def test_chunked_import_writes_only_its_frames(web: Web, sdk: Sdk) -> None:
    disk = await new_disk(sdk)
    frame = (65536).to_bytes(8, "little") + (4096).to_bytes(4, "little") + b"c" * 4096
    params = {"vdi": disk, "format": "raw", "chunked": "true"}
    _, task = await web.send("PUT", "/import_raw_vdi", params, frame + bytes(12))
    assert task["status"] == "success"
    image, _ = await web.send("GET", "/export_raw_vdi", {"vdi": disk})
    assert image.content == bytes(65536) + b"c" * 4096 + bytes(4 * MIB - 65536 - 4096)


async def test_frames_without_an_announced_length_end_with_the_last_one(web: Web, sdk: Sdk) -> None:
    """The client keeps its side open until the task tells how it went."""
    disk = await new_disk(sdk)
    frame = (65536).to_bytes(8, "little") + (4096).to_bytes(4, "little") + b"c" * 4096 + bytes(12)
    task = await sdk.call("task.create", "import", "")
    query = f"vdi={disk}&chunked=true&session_id={sdk.session.handle}&task_id={task}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = web.address.removeprefix("https://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write(f"PUT /import_raw_vdi?{query} HTTP/1.0\r\n\r\n".encode())
    assert b" 200 " in await reader.readline()
    writer.write(frame)
    assert (await sdk.wait_for_task(task))["status"] == "success"
    writer.close()


async def test_the_empty_probe_changes_nothing_and_fails_its_task(web: Web, sdk: Sdk) -> None:
    disk = await new_disk(sdk)
    response, task = await web.send("PUT", "/import_raw_vdi", {"vdi": disk}, b"")
    assert response.content.startswith(b"HTTP/1.1 400 Bad Request")
    assert (task["status"], task["error_info"]) == ("failure", ["VDI_IO_ERROR", "Device I/O errors"])


async def test_a_body_larger_than_the_disk_fails_its_task(web: Web, sdk: Sdk) -> None:
    disk = await new_disk(sdk)
    _, task = await web.send("PUT", "/import_raw_vdi", {"vdi": disk}, os.urandom(5 * MIB))
    assert (task["status"], task["error_info"][0]) == ("failure", "VDI_IO_ERROR")


async def test_refusals_leave_the_task_as_recorded(web: Web, sdk: Sdk) -> None:
    response, task = await web.send("GET", "/export_raw_vdi", {"vdi": "OpaqueRef:nope"})
    assert (response.status_code, task["status"]) == (500, "pending")
    response, task = await web.send("GET", "/export_raw_vdi", {"vdi": await new_disk(sdk), "format": "zip"})
    assert (response.status_code, response.http_version, task["status"]) == (404, "HTTP/1.0", "failure")
    bare = await web.client.get(f"{web.address}/export_raw_vdi", params={"session_id": "OpaqueRef:no"})
    assert (bare.status_code, bare.headers["www-authenticate"]) == (401, 'Basic realm="get_export_raw_vdi"')


async def exported(web: Web, vm: str, **params: str) -> bytes:
    response, task = await web.send("GET", "/export_metadata", {"ref": vm} | params)
    assert task["status"] == "success"
    return response.content


async def test_metadata_restores_a_destroyed_vm_as_itself_on_new_disks(web: Web, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    before = await sdk.call("VM.get_record", vm)
    old_disk = await sdk.call("VDI.get_record", await disk_of(sdk, vm))
    vifs = [await sdk.call("VIF.get_record", vif) for vif in before["VIFs"]]
    metadata = await exported(web, vm, export_snapshots="false")
    with tarfile.open(fileobj=BytesIO(metadata)) as archive:
        assert archive.getnames() == ["ova.xml"]
    await sdk.run("VM.hard_shutdown", vm)
    old = await disk_of(sdk, vm)
    await sdk.call("VM.destroy", vm)
    await sdk.run("VDI.destroy", old)
    params = {"restore": "true"}
    _, task = await web.send("PUT", "/import_metadata", params, metadata)
    assert task["error_info"][0] == "VDI_LOCATION_MISSING"
    new = await new_disk(sdk, 8 * MIB)
    params[f"vdi:{old_disk['uuid']}"] = await sdk.call("VDI.get_uuid", new)
    _, dry = await web.send("PUT", "/import_metadata", params | {"dry_run": "true"}, metadata)
    assert dry["result"] == "<value><array><data></data></array></value>"
    _, task = await web.send("PUT", "/import_metadata", params, metadata)
    assert task["status"] == "success", task["error_info"]
    restored = await sdk.call("VM.get_by_uuid", before["uuid"])
    assert task["result"] == f"<value><array><data><value>{restored}</value></data></array></value>"
    after = await sdk.call("VM.get_record", restored)
    assert restored != vm
    assert (after["name_label"], after["power_state"], after["version"]) == ("web", "Halted", "1")
    assert after["other_config"]["mac_seed"] == before["other_config"]["mac_seed"]
    assert await disk_of(sdk, restored) == new
    restored_vifs = [await sdk.call("VIF.get_record", vif) for vif in after["VIFs"]]
    assert [(vif["uuid"], vif["MAC"]) for vif in restored_vifs] == [(vif["uuid"], vif["MAC"]) for vif in vifs]
    assert not restored_vifs[0]["MAC_autogenerated"]
    await sdk.run("VM.start", restored, False, False)


async def test_metadata_over_a_present_vm_needs_force(web: Web, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    metadata = await exported(web, vm, export_snapshots="false")
    _, task = await web.send("PUT", "/import_metadata", {"restore": "true"}, metadata)
    assert task["error_info"] == ["VM_BAD_POWER_STATE", vm, "halted", "running"]
    await sdk.run("VM.hard_shutdown", vm)
    _, task = await web.send("PUT", "/import_metadata", {"restore": "true"}, metadata)
    assert task["error_info"] == ["VM_TO_IMPORT_IS_NOT_NEWER_VERSION", vm, "0", "0"]
    _, task = await web.send("PUT", "/import_metadata", {"restore": "true", "force": "true"}, metadata)
    assert task["status"] == "success"
    assert await sdk.refused("VM.get_uuid", vm) == ["HANDLE_INVALID", "VM", vm]


async def test_metadata_makes_another_vm_with_other_macs(web: Web, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    before = await sdk.call("VM.get_record", vm)
    disk = await sdk.call("VDI.get_uuid", await disk_of(sdk, vm))
    twin_disk = await sdk.call("VDI.get_uuid", await new_disk(sdk, 8 * MIB))
    metadata = await exported(web, vm, export_snapshots="false")
    params = {"restore": "false", f"vdi:{disk}": twin_disk}
    _, task = await web.send("PUT", "/import_metadata", params, metadata)
    assert task["status"] == "success", task["error_info"]
    (twin,) = [ref for ref in await sdk.call("VM.get_by_name_label", "web") if ref != vm]
    record = await sdk.call("VM.get_record", twin)
    assert record["uuid"] != before["uuid"]
    assert record["other_config"]["mac_seed"] != before["other_config"]["mac_seed"]
    macs = {await sdk.call("VIF.get_MAC", vif) for vif in (*before["VIFs"], *record["VIFs"])}
    assert len(macs) == 2


async def test_snapshots_travel_in_metadata(web: Web, sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    await sdk.run("VM.snapshot", vm, "kept")
    await sdk.run("VM.hard_shutdown", vm)
    metadata = await exported(web, vm)
    _, task = await web.send("PUT", "/import_metadata", {"restore": "true", "force": "true"}, metadata)
    assert task["status"] == "success", task["error_info"]
    (restored,) = await sdk.call("VM.get_by_name_label", "web")
    (kept,) = await sdk.call("VM.get_by_name_label", "kept")
    assert await sdk.call("VM.get_snapshots", restored) == [kept]


async def test_a_disk_of_another_host_is_found_by_redirect(tmp_path: Path) -> None:
    storage = [StorageDescription(name="local", type="ext", host="host-2")]
    vms = [VmDescription(name="web", disks=[])]
    async with running(describe(tmp_path / "p", 2, storage=storage, vms=vms)) as simulation:
        sdk = await Sdk(simulation).log_in()
        web = Web(simulation, sdk)
        disk = await new_disk(sdk)
        response, task = await web.send("GET", "/export_raw_vdi", {"vdi": disk})
        assert (response.status_code, task["status"]) == (302, "pending")
        assert response.headers["location"].startswith("https://127.0.0.12:")
        followed = await web.client.get(response.headers["location"])
        assert followed.content == bytes(4 * MIB)
        await web.client.aclose()
        sdk.close()


async def test_many_megabytes_stream_quickly(web: Web, sdk: Sdk) -> None:
    disk = await new_disk(sdk, 96 * MIB)
    clock = asyncio.get_running_loop().time
    started = clock()
    _, _ = await web.send("PUT", "/import_raw_vdi", {"vdi": disk}, os.urandom(MIB) * 96)
    imported = clock()
    response, _ = await web.send("GET", "/export_raw_vdi", {"vdi": disk})
    assert len(response.content) == 96 * MIB
    print(f"import {96 / (imported - started):.0f} MiB/s, export {96 / (clock() - imported):.0f} MiB/s")


async def test_a_difference_on_top_of_its_base_is_the_later_disk(
    web: Web, sdk: Sdk, simulation: Simulation, tmp_path: Path
) -> None:
    """As a replication does it: the whole base into a new disk, then the difference into the same."""
    vm = await only_vm(sdk)
    disk = await sdk.call("VDI.get_record", await disk_of(sdk, vm))
    repository = simulation.pool.repositories[disk["SR"]]
    taken = []
    for place in (0, 5 * MIB):
        await asyncio.to_thread(repository.disk(disk["uuid"]).write, place, os.urandom(MIB))
        snapshot = (await sdk.run("VM.snapshot", vm, f"at {place}"))[7:-8]
        taken.append(await disk_of(sdk, snapshot))
    whole, _ = await web.send("GET", "/export_raw_vdi/", {"vdi": taken[0], "format": "vhd"})
    query = {"vdi": taken[1], "base": taken[0], "format": "vhd"}
    difference, task = await web.send("GET", "/export_raw_vdi/", query)
    assert task["status"] == "success", task["error_info"]
    assert len(difference.content) < 5 * MIB
    (tmp_path / "whole.vhd").write_bytes(whole.content)
    source = "driver=vpc,force_size_calc=current_size,file.filename=whole.vhd"
    command = ["qemu-img", "convert", "--image-opts", source, "-O", "raw", "whole.raw"]
    done = await asyncio.create_subprocess_exec(*command, cwd=tmp_path)
    assert await done.wait() == 0
    first, _ = await web.send("GET", "/export_raw_vdi", {"vdi": taken[0]})
    assert (tmp_path / "whole.raw").read_bytes() == first.content
    replica = await new_disk(sdk, 8 * MIB)
    for stream in (whole, difference):
        _, task = await web.send("PUT", "/import_raw_vdi/", {"vdi": replica, "format": "vhd"}, stream.content)
        assert task["status"] == "success", task["error_info"]
    later, _ = await web.send("GET", "/export_raw_vdi", {"vdi": taken[1]})
    replicated, _ = await web.send("GET", "/export_raw_vdi", {"vdi": replica})
    assert replicated.content == later.content
