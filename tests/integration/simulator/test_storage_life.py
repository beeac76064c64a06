"""Storage repositories: made, found, forgotten, introduced again; disks that the pool forgot."""

import re
from typing import Any

import pytest

from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk
from tests.integration.simulator.test_transfers import new_disk
from tests.integration.simulator.test_vm_life import disk_of, only_vm

NFS = {"server": "192.0.2.9", "serverpath": "/exports/new"}
GONE = "ffffffff-1111-2222-3333-444444444444"


async def new_sr(sdk: Sdk, config: dict[str, str] | None = None, type_: str = "nfs") -> str:
    (host,) = await sdk.call("host.get_all")
    about = ["New", "a new one", type_, "user", type_ == "nfs", {}]
    return str(await sdk.call("SR.create", host, config or NFS, str(64 * MIB), *about))


async def disk_in(sdk: Sdk, sr: str) -> str:
    record: dict[str, Any] = {"name_label": "in it", "SR": sr, "virtual_size": str(4 * MIB), "type": "user"}
    return str(
        await sdk.call("VDI.create", record | {"sharable": False, "read_only": False, "other_config": {}})
    )


async def detach(sdk: Sdk, sr: str) -> None:
    for pbd in await sdk.call("SR.get_PBDs", sr):
        await sdk.run("PBD.unplug", pbd)


async def test_a_repository_is_made_filled_and_destroyed(sdk: Sdk) -> None:
    sr = await new_sr(sdk)
    disk = await disk_in(sdk, sr)
    assert await sdk.call("SR.get_physical_size", sr) == str(64 * MIB)
    assert await sdk.refused("SR.destroy", sr) == ["SR_HAS_PBD", sr]
    await detach(sdk, sr)
    assert await sdk.refused("SR.destroy", sr) == ["SR_NOT_EMPTY"]
    for pbd in await sdk.call("SR.get_PBDs", sr):
        await sdk.call("PBD.plug", pbd)
    await sdk.run("VDI.destroy", disk)
    await detach(sdk, sr)
    await sdk.run("SR.destroy", sr)
    assert (await sdk.refused("SR.get_uuid", sr))[0] == "HANDLE_INVALID"


async def test_a_forgotten_repository_comes_back_with_its_disks_but_without_their_names(
    simulation: Simulation, sdk: Sdk
) -> None:
    sr = await new_sr(sdk)
    uuid = await sdk.call("SR.get_uuid", sr)
    disk = await sdk.call("VDI.get_uuid", await disk_in(sdk, sr))
    simulation.pool.repositories[sr].disk(disk).write(0, b"kept" * 128)
    await detach(sdk, sr)
    await sdk.call("SR.forget", sr)
    (host,) = await sdk.call("host.get_all")
    assert re.findall(r"<UUID>\s*(\S+)\s*</UUID>", await sdk.call("SR.probe", host, NFS, "nfs", {})) == [uuid]
    again = await sdk.call("SR.introduce", uuid, "Again", "", "nfs", "user", True, {})
    pbd = await sdk.call("PBD.create", {"host": host, "SR": again, "device_config": NFS})
    assert await sdk.refused("PBD.create", {"host": host, "SR": again, "device_config": NFS}) == [
        "PBD_EXISTS", again, host, pbd
    ]  # fmt: skip
    assert await sdk.call("SR.get_VDIs", again) == []
    await sdk.run("PBD.plug", pbd)
    found = await sdk.call("VDI.get_record", await sdk.call("VDI.get_by_uuid", disk))
    assert (found["name_label"], found["SR"], found["virtual_size"]) == ("", again, str(4 * MIB))
    content = bytearray(512)
    simulation.pool.repositories[again].disk(disk).read_into(0, content)
    assert content == b"kept" * 128


async def test_a_disk_that_was_forgotten_is_found_by_a_scan_or_introduced_under_its_name(sdk: Sdk) -> None:
    disk = await new_disk(sdk)
    record = await sdk.call("VDI.get_record", disk)
    sr, uuid = record["SR"], record["uuid"]
    fields = [uuid, "back", "", sr, "user", False, False, {"a": "b"}, uuid, {}, {}]
    assert await sdk.refused("VDI.introduce", *fields) == ["LOCATION_NOT_UNIQUE", sr, uuid]
    await sdk.call("VDI.forget", disk)
    introduced = await sdk.call("VDI.introduce", *fields)
    assert await sdk.call("VDI.get_other_config", introduced) == {"a": "b"}
    await sdk.call("VDI.forget", introduced)
    await sdk.run("SR.scan", sr)
    assert await sdk.call("VDI.get_name_label", await sdk.call("VDI.get_by_uuid", uuid)) == ""
    fields[8] = GONE
    assert (await sdk.refused("VDI.introduce", *fields))[0] == "SR_BACKEND_FAILURE_46"


@pytest.mark.parametrize(
    ("type_", "config", "failure"),
    [
        ("nfs", {"server": "192.0.2.9"}, "SR_BACKEND_FAILURE_101"),
        ("nfs", {"serverpath": "/x"}, "SR_BACKEND_FAILURE_102"),
        ("ext", {}, "SR_BACKEND_FAILURE_90"),
        ("zfs", {}, "SR_UNKNOWN_DRIVER"),
    ],
)
async def test_a_driver_says_what_it_misses(
    sdk: Sdk, type_: str, config: dict[str, str], failure: str
) -> None:
    (host,) = await sdk.call("host.get_all")
    about = ["New", "", type_, "user", False, {}]
    assert (await sdk.refused("SR.create", host, config, "0", *about))[0] == failure
    assert (await sdk.refused("SR.probe", host, config, type_, {}))[0] == failure


async def test_a_local_device_holds_one_repository(sdk: Sdk) -> None:
    await new_sr(sdk, {"device": "/dev/sdb"}, "ext")
    (host,) = await sdk.call("host.get_all")
    about = ["Another", "", "lvm", "user", False, {}]
    await sdk.call("SR.create", host, {"device": "/dev/sdc"}, "0", *about)
    about[2] = "ext"
    assert (await sdk.refused("SR.create", host, {"device": "/dev/sdb"}, "0", *about))[
        0
    ] == "SR_BACKEND_FAILURE_16"


async def test_a_repository_that_is_nowhere_is_not_plugged(sdk: Sdk) -> None:
    (host,) = await sdk.call("host.get_all")
    sr = await sdk.call("SR.introduce", GONE, "Nowhere", "", "nfs", "user", True, {})
    pbd = await sdk.call("PBD.create", {"host": host, "SR": sr, "device_config": NFS})
    assert (await sdk.refused("PBD.plug", pbd))[0] == "SR_BACKEND_FAILURE_47"
    assert await sdk.call("PBD.get_currently_attached", pbd) is False
    assert await sdk.refused("SR.introduce", GONE, "Twice", "", "nfs", "user", True, {}) == [
        "SR_UUID_EXISTS",
        GONE,
    ]


async def test_a_repository_with_disks_in_use_stays_attached(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    sr = await sdk.call("VDI.get_SR", await disk_of(sdk, vm))
    (pbd,) = await sdk.call("SR.get_PBDs", sr)
    assert (await sdk.refused("PBD.unplug", pbd))[0] == "VDI_IN_USE"


async def test_disks_are_not_merged_while_nobody_has_the_repository(sdk: Sdk, simulation: Simulation) -> None:
    vm = await only_vm(sdk)
    await sdk.run("VM.hard_shutdown", vm)
    disk = await disk_of(sdk, vm)
    sr = await sdk.call("VDI.get_SR", disk)
    taken = (await sdk.run("VM.snapshot", vm, "snap"))[7:-8]
    await sdk.run("VDI.destroy", await disk_of(sdk, taken))
    await detach(sdk, sr)
    await simulation.pool.settled()
    assert (await sdk.refused("SR.scan", sr))[0] == "SR_HAS_NO_PBDS"
