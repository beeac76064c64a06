"""Disks of image format qcow2: asked for and told as XCP-ng's storage does, and understood by qemu-img."""

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_transfers import Web

GIB = 1024**3
LARGE = 3072 * GIB
STORAGE = [
    StorageDescription(name="both"),
    StorageDescription(name="qcow2 first", image_formats=["qcow2", "vhd"]),
    StorageDescription(name="vhd only", image_formats=["vhd"]),
    StorageDescription(name="linstor", type="linstor"),
]
VM = VmDescription(name="web", host="host-1", disks=[DiskDescription(size_bytes=LARGE, name="large")])


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with running(describe(tmp_path / "pool", storage=STORAGE, vms=[VM], version="26.17")) as started:
        yield started


@pytest.fixture
async def sdk(simulation: Simulation) -> AsyncIterator[Sdk]:
    client = await Sdk(simulation).log_in()
    yield client
    client.close()


@pytest.fixture
async def web(simulation: Simulation, sdk: Sdk) -> AsyncIterator[Web]:
    client = Web(simulation, sdk)
    yield client
    await client.client.aclose()


async def wanted(sdk: Sdk, sr: str, size: int, **sm_config: str) -> dict[str, Any]:
    (ref,) = await sdk.call("SR.get_by_name_label", sr)
    return {
        "name_label": "new",
        "SR": ref,
        "virtual_size": str(size),
        "type": "user",
        "sharable": False,
        "read_only": False,
        "other_config": {},
        "sm_config": {name.replace("_", "-"): value for name, value in sm_config.items()},
    }


async def made(sdk: Sdk, sr: str, size: int, **sm_config: str) -> dict[str, Any]:
    ref = await sdk.call("VDI.create", await wanted(sdk, sr, size, **sm_config))
    return {**await sdk.call("VDI.get_record", ref), "ref": ref}


async def large_disk(sdk: Sdk) -> str:
    (disk,) = await sdk.call("VDI.get_by_name_label", "large")
    return str(disk)


async def write(simulation: Simulation, sdk: Sdk, vdi: str, offset: int, data: bytes) -> None:
    record = await sdk.call("VDI.get_record", vdi)
    disk = simulation.pool.repository(record["SR"]).disk(record["uuid"])
    await asyncio.to_thread(disk.write, offset, data)


def qemu_img(*arguments: object) -> str:
    done = subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True)
    return done.stdout


async def exported(web: Web, path: Path, vdi: str, **query: str) -> Path:
    response, task = await web.send("GET", "/export_raw_vdi", {"vdi": vdi, "format": "qcow2", **query})
    assert task["status"] == "success", task["error_info"]
    await asyncio.to_thread(path.write_bytes, response.content)
    assert "No errors" in qemu_img("check", "-f", "qcow2", path)
    return path


async def test_a_disk_has_the_format_that_is_asked_for_or_preferred(sdk: Sdk) -> None:
    for sr, gib, sm_config, image_format in (
        ("both", 1, {}, "vhd"),
        ("both", 2040, {}, "vhd"),
        ("both", 2041, {}, "qcow2"),
        ("both", 1, {"image_format": "qcow2"}, "qcow2"),
        ("both", 1, {"type": "qcow2"}, "qcow2"),
        ("qcow2 first", 1, {}, "qcow2"),
        ("qcow2 first", 1, {"image_format": "vhd"}, "vhd"),
        ("vhd only", 3000, {"image_format": "qcow2"}, "qcow2"),
        ("linstor", 1, {}, "vhd"),
    ):
        disk = await made(sdk, sr, gib * GIB, **sm_config)
        told = (disk["sm_config"]["image-format"], disk["virtual_size"])
        assert told == (image_format, str(gib * GIB)), (sr, sm_config)
        assert int(disk["physical_utilisation"]) < (MIB if image_format == "qcow2" else 9 * MIB)


async def test_what_cannot_be_made_is_refused(sdk: Sdk) -> None:
    for sr, gib, sm_config, number in (
        ("both", 1, {"image_format": "vmdk"}, 66),
        ("linstor", 1, {"image_format": "qcow2"}, 66),
        ("both", 2041, {"image_format": "vhd"}, 79),
        ("vhd only", 2041, {}, 79),
        ("linstor", 2041, {}, 79),
        ("both", 16382, {}, 79),
    ):
        failure = await sdk.refused("VDI.create", await wanted(sdk, sr, gib * GIB, **sm_config))
        assert failure[0] == f"SR_BACKEND_FAILURE_{number}", (sr, gib, sm_config)


async def test_a_qcow2_is_rounded_to_64_kib(sdk: Sdk) -> None:
    disk = await made(sdk, "both", 65537, image_format="qcow2")
    assert disk["virtual_size"] == str(2 * 65536)


async def test_drivers_say_what_they_make(sdk: Sdk) -> None:
    drivers = {driver["type"]: driver for driver in (await sdk.call("SM.get_all_records")).values()}
    assert drivers["nfs"]["supported_image_formats"] == ["vhd", "qcow2"]
    assert drivers["linstor"]["supported_image_formats"] == ["vhd"]
    assert "QCOW2" in drivers["ext"]["name_label"]


async def test_older_releases_know_only_vhds_and_ignore_what_they_are_asked_for(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "old", storage=STORAGE, vms=[])) as simulation:
        sdk = await Sdk(simulation).log_in()
        disk = await made(sdk, "both", GIB, image_format="qcow2")
        assert disk["sm_config"] == {"image-format": "qcow2"}  # what was asked for, not what came of it
        (node,) = simulation.pool.repository(disk["SR"]).nodes()
        assert node.image_format == "vhd"
        assert "image-format" not in (await made(sdk, "both", GIB))["sm_config"]
        failure = await sdk.refused("VDI.create", await wanted(sdk, "both", LARGE, image_format="qcow2"))
        assert failure[0] == "SR_BACKEND_FAILURE_79"
        sdk.close()


async def test_a_snapshot_tells_its_format_after_a_scan(sdk: Sdk) -> None:
    disk = await large_disk(sdk)
    snapshot = await sdk.call("VDI.snapshot", disk)
    config = await sdk.call("VDI.get_sm_config", snapshot)
    assert set(config) == {"vhd-parent"}
    parent = await sdk.call("VDI.get_by_uuid", config["vhd-parent"])
    await sdk.call("SR.scan", await sdk.call("VDI.get_SR", disk))
    for each in (snapshot, parent, disk):
        assert (await sdk.call("VDI.get_sm_config", each))["image-format"] == "qcow2"


async def test_a_large_disk_is_no_vhd_to_be_exported(web: Web, sdk: Sdk) -> None:
    disk = await large_disk(sdk)
    response, task = await web.send("GET", "/export_raw_vdi", {"vdi": disk, "format": "vhd"})
    assert response.status_code == 200
    assert task["error_info"] == ["VDI_TOO_LARGE", disk, str(2040 * GIB)]


async def test_a_large_disk_travels_and_qemu_agrees(
    simulation: Simulation, web: Web, sdk: Sdk, tmp_path: Path
) -> None:
    disk = await large_disk(sdk)
    for offset in (0, 2500 * GIB + 65536, LARGE - 512):
        await write(simulation, sdk, disk, offset, b"data" * 128)
    image = await exported(web, tmp_path / "one.qcow2", disk)
    assert image.stat().st_size < MIB
    assert json.loads(qemu_img("info", "--output=json", image))["virtual-size"] == LARGE
    target = await made(sdk, "both", LARGE)
    _, task = await web.send(
        "PUT", "/import_raw_vdi", {"vdi": target["ref"], "format": "qcow2"}, image.read_bytes()
    )
    assert task["status"] == "success", task["error_info"]
    other = await exported(web, tmp_path / "other.qcow2", target["ref"])
    assert "identical" in qemu_img("compare", "-f", "qcow2", "-F", "qcow2", image, other)


async def test_the_chain_of_a_large_disk_lives_as_that_of_a_small_one(
    simulation: Simulation, web: Web, sdk: Sdk, tmp_path: Path
) -> None:
    disk = await large_disk(sdk)
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    await sdk.call("VDI.enable_cbt", disk)
    await write(simulation, sdk, disk, 0, b"old!" * 16384)
    snapshot_vm = await sdk.call("VM.snapshot", vm, "s")
    (vbd,) = [ref for ref in await sdk.call("VM.get_VBDs", snapshot_vm) if await has_disk(sdk, ref)]
    snapshot = await sdk.call("VBD.get_VDI", vbd)
    before = await exported(web, tmp_path / "before.qcow2", snapshot)
    await write(simulation, sdk, disk, 2 * LARGE // 3, b"new!" * 128)
    new = await sdk.call("VDI.snapshot", disk)
    bitmap = base64.b64decode(await sdk.call("VDI.list_changed_blocks", snapshot, new))
    assert len(bitmap) == LARGE // 65536 // 8
    assert bitmap.count(0) == len(bitmap) - 1 and bitmap[2 * LARGE // 3 // 65536 // 8] == 0x80
    delta = await exported(web, tmp_path / "delta.qcow2", new, base=snapshot)
    assert delta.stat().st_size < MIB // 2
    qemu_img("rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", before, delta)
    after = await exported(web, tmp_path / "after.qcow2", new)
    assert "identical" in qemu_img("compare", "-f", "qcow2", "-F", "qcow2", delta, after)
    clone = await sdk.call("VDI.clone", snapshot)
    assert "identical" in qemu_img("compare", before, await exported(web, tmp_path / "clone.qcow2", clone))
    for gone in (clone, new):
        await sdk.run("VDI.destroy", gone)
    await simulation.pool.settled()
    await sdk.run("VM.clean_shutdown", vm)
    await sdk.run("VM.revert", snapshot_vm)
    (vbd,) = [ref for ref in await sdk.call("VM.get_VBDs", vm) if await has_disk(sdk, ref)]
    reverted = await exported(web, tmp_path / "reverted.qcow2", await sdk.call("VBD.get_VDI", vbd))
    assert "identical" in qemu_img("compare", before, reverted)


async def has_disk(sdk: Sdk, vbd: str) -> bool:
    return bool(await sdk.call("VBD.get_type", vbd) == "Disk")


@pytest.mark.parametrize("kind", ["vhd", "qcow2"])
async def test_images_of_two_formats_have_no_differences(web: Web, sdk: Sdk, kind: str) -> None:
    one, other = await made(sdk, "both", GIB, image_format="qcow2"), await made(sdk, "both", GIB)
    query = {"vdi": one["ref"], "base": other["ref"], "format": kind}
    _, task = await web.send("GET", "/export_raw_vdi", query)
    assert task["error_info"][0] == "VDI_IO_ERROR"


async def test_a_small_qcow2_goes_as_a_vhd_too_but_not_its_differences(
    simulation: Simulation, web: Web, sdk: Sdk, tmp_path: Path
) -> None:
    disk = await made(sdk, "both", 3 * MIB + 65536, image_format="qcow2")
    await write(simulation, sdk, disk["ref"], 3 * MIB, b"last" * 16384)
    response, task = await web.send("GET", "/export_raw_vdi", {"vdi": disk["ref"], "format": "vhd"})
    assert task["status"] == "success"
    target = await made(sdk, "both", 3 * MIB + 65536, image_format="qcow2")
    query = {"vdi": target["ref"], "format": "vhd"}
    _, task = await web.send("PUT", "/import_raw_vdi", query, response.content)
    assert task["status"] == "success", task["error_info"]
    one, other = [
        (await web.send("GET", "/export_raw_vdi", {"vdi": each["ref"]}))[0].content for each in (disk, target)
    ]
    assert one == other and one.endswith(b"last")
    snapshot = await sdk.call("VDI.snapshot", disk["ref"])
    query = {"vdi": disk["ref"], "base": snapshot, "format": "vhd"}
    _, task = await web.send("GET", "/export_raw_vdi", query)
    assert task["error_info"][0] == "VDI_IO_ERROR"


async def test_a_disk_that_moves_gets_the_format_its_new_storage_prefers(
    simulation: Simulation, sdk: Sdk
) -> None:
    disk = await made(sdk, "both", GIB)
    (sr,) = await sdk.call("SR.get_by_name_label", "qcow2 first")
    copy = await sdk.call("VDI.copy", disk["ref"], sr, "OpaqueRef:NULL", "OpaqueRef:NULL")
    assert (await sdk.call("VDI.get_sm_config", copy))["image-format"] == "qcow2"
    (vhds,) = await sdk.call("SR.get_by_name_label", "vhd only")
    failure = await sdk.refused("VDI.pool_migrate", await large_disk(sdk), vhds, {})
    assert failure[0] == "SR_BACKEND_FAILURE_79"
    moved = await sdk.call("VDI.pool_migrate", await large_disk(sdk), vhds, {"dest-img-format": "qcow2"})
    assert (await sdk.call("VDI.get_sm_config", moved))["image-format"] == "qcow2"
