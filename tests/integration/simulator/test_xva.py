"""XVA: out of one pool, into it again, and what a real toolstack once exported."""

import asyncio
import os
import tarfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from tests.integration.simulator.pools import MIB, Sdk
from tests.integration.simulator.test_transfers import Web, web  # noqa: F401 - a fixture
from tests.integration.simulator.test_vm_life import disk_of, only_vm

SAMPLES = Path(__file__).parents[2] / "contract" / "simulator" / "golden" / "xva"


async def export(web: Web, vm: str, compression: str = "false") -> bytes:  # noqa: F811
    response, task = await web.send("GET", "/export/", {"ref": vm, "use_compression": compression})
    assert (response.status_code, response.http_version) == (200, "HTTP/1.0")
    assert (task["status"], task["result"]) == ("success", "")
    return response.content


async def filled_vm(web: Web, sdk: Sdk) -> tuple[str, bytes]:  # noqa: F811
    """The halted VM and what its disk holds."""
    vm = await only_vm(sdk)
    await sdk.run("VM.hard_shutdown", vm)
    content = os.urandom(MIB) + bytes(6 * MIB) + os.urandom(MIB)
    await web.send("PUT", "/import_raw_vdi", {"vdi": await disk_of(sdk, vm)}, content)
    return vm, content


@pytest.mark.parametrize("compression", ["false", "true", "zstd"])
async def test_a_vm_travels_as_an_xva(web: Web, sdk: Sdk, compression: str) -> None:  # noqa: F811
    vm, content = await filled_vm(web, sdk)
    archive = await export(web, vm, compression)
    response, task = await web.send("PUT", "/import/", {}, archive)
    assert (response.status_code, task["status"]) == (200, "success"), task["error_info"]
    (twin,) = [ref for ref in await sdk.call("VM.get_by_name_label", "web") if ref != vm]
    assert task["result"] == f"<value><array><data><value>{twin}</value></data></array></value>"
    image, _ = await web.send("GET", "/export_raw_vdi", {"vdi": await disk_of(sdk, twin)})
    assert image.content == content
    assert await sdk.call("VM.get_current_operations", twin) == {}


async def test_a_vm_that_is_being_imported_is_found_by_the_task_of_its_import(
    web: Web,  # noqa: F811
    sdk: Sdk,
) -> None:
    """Replication finds its copy so, before the import has ended."""
    vm, _ = await filled_vm(web, sdk)
    archive = await export(web, vm)
    seen = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield archive[: len(archive) // 2]
        await seen.wait()
        yield archive[len(archive) // 2 :]

    task = await sdk.call("task.create", "import", "")
    query = {"session_id": sdk.session.handle, "task_id": task}
    headers = {"Content-Length": str(len(archive))}
    sending = asyncio.create_task(
        web.client.put(f"{web.address}/import/", params=query, content=body(), headers=headers)
    )
    token, found = "", ""
    while not found:
        batch = await sdk.call("event.from", ["vm"], token, 10.0)
        token = batch["token"]
        records = {event["ref"]: event.get("snapshot", {}) for event in batch["events"]}
        found = next((ref for ref, vm in records.items() if task in vm.get("current_operations", {})), "")
    assert records[found]["current_operations"] == {task: "import"}
    assert records[found]["other_config"]["import_task"] == task
    about = await sdk.call("task.get_record", task)
    assert (about["status"], about["other_config"]["object_creation"]) == ("pending", "complete")
    seen.set()
    assert (await sending).status_code == 200
    assert (await sdk.wait_for_task(task))["status"] == "success"
    assert await sdk.call("VM.get_current_operations", found) == {}


async def test_chunks_of_zeroes_are_left_out_but_the_first_and_the_last(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm, _ = await filled_vm(web, sdk)
    with tarfile.open(fileobj=BytesIO(await export(web, vm))) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert names == ["", "00000000", "00000000.xxhash", "00000007", "00000007.xxhash"]


async def test_a_running_vm_is_not_exported(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm = await only_vm(sdk)
    response, task = await web.send("GET", "/export", {"ref": vm})
    assert response.status_code == 500
    assert task["error_info"] == ["VM_BAD_POWER_STATE", vm, "halted, suspended", "running"]


async def test_an_exported_snapshot_is_a_template(web: Web, sdk: Sdk) -> None:  # noqa: F811
    text = await sdk.run("VM.snapshot", await only_vm(sdk), "snap")
    archive = await export(web, text[7:-8])
    _, task = await web.send("PUT", "/import", {}, archive)
    assert task["status"] == "success", task["error_info"]
    refs = await sdk.call("VM.get_by_name_label", "snap")
    (imported,) = [ref for ref in refs if ref != text[7:-8]]
    record = await sdk.call("VM.get_record", imported)
    assert (record["is_a_snapshot"], record["is_a_template"]) == (False, True)


async def test_a_damaged_chunk_fails_the_import_and_leaves_nothing(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm, _ = await filled_vm(web, sdk)
    archive = bytearray(await export(web, vm))
    archive[-MIB] ^= 1
    disks = set(await sdk.call("VDI.get_all"))
    _, task = await web.send("PUT", "/import", {}, bytes(archive))
    assert task["error_info"][0] == "IMPORT_ERROR"
    assert "checksum failed" in task["error_info"][1]
    assert await sdk.call("VM.get_by_name_label", "web") == [vm]
    assert set(await sdk.call("VDI.get_all")) <= disks


async def test_a_truncated_archive_is_a_premature_end_once_the_client_is_gone(web: Web, sdk: Sdk) -> None:  # noqa: F811
    vm, _ = await filled_vm(web, sdk)
    archive = (await export(web, vm))[: MIB + 5000]
    task = await sdk.call("task.create", "import", "")
    query = {"session_id": sdk.session.handle, "task_id": task}
    with pytest.raises(httpx.ReadTimeout):  # the server waits for the rest as long as the client does
        await web.client.put(f"{web.address}/import", params=query, content=archive, timeout=0.5)
    assert (await sdk.wait_for_task(task))["error_info"] == ["IMPORT_ERROR_PREMATURE_EOF"]
    assert await sdk.call("VM.get_by_name_label", "web") == [vm]


@pytest.mark.parametrize("name", ["tiny.xva.gz", "tiny.xva.zst", "tiny-snapshot.xva.gz"])
async def test_an_xva_of_a_real_toolstack_is_imported(web: Web, sdk: Sdk, name: str) -> None:  # noqa: F811
    _, task = await web.send("PUT", "/import", {}, (SAMPLES / name).read_bytes())
    assert task["status"] == "success", task["error_info"]
    vm = task["result"].partition("OpaqueRef:")[2][:36]
    record = await sdk.call("VM.get_record", f"OpaqueRef:{vm}")
    assert len(record["VBDs"]) == 3
    assert len(record["VIFs"]) == 2
