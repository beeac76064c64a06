"""Hosts that come and go: a pool of one host joins another pool, a member becomes a pool of its own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.simulator.pool.description import (
    DiskDescription,
    HostDescription,
    StorageDescription,
    VmDescription,
)
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, PASSWORD, Sdk, describe, running
from tests.integration.simulator.test_vm_life import disk_of

ADDRESS = "127.0.0.41"


@dataclass
class Sides:
    """``pool`` has two hosts and shared storage; ``alone`` is a host with a halted VM on its own disks."""

    pool: Simulation
    alone: Simulation
    sdk: Sdk
    newcomer: Sdk

    async def join(self, method: str = "pool.join", **changed: str) -> None:
        await self.newcomer.run(method, *self.credentials(**changed))
        await self.alone.pool.settled()

    async def refused(self, **changed: str) -> list[str]:
        return await self.newcomer.refused("pool.join", *self.credentials(**changed))

    @staticmethod
    def credentials(address: str = "127.0.0.11", user: str = "root", password: str = PASSWORD) -> list[str]:
        return [address, user, password]


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[Sides]:
    async with running(describe(tmp_path / "pool", hosts=2)) as pool:
        machine = HostDescription(name="new", address=ADDRESS, cpus=2, usb_devices=["Licence key"])
        description = describe(tmp_path / "alone", vms=[], storage=[])
        ports = ("https_port", "http_port", "nbd_port")
        storage = StorageDescription(name="Own disks", type="ext", host="new")
        disk = DiskDescription(size_bytes=8 * MIB, name="its disk")
        changes = {name: getattr(pool.pool.description, name) for name in ports}
        changes |= {"hosts": [machine], "storage": [storage]}
        changes |= {"vms": [VmDescription(name="brought", disks=[disk])]}
        async with running(description.model_copy(update=changes)) as alone:
            member, newcomer = await Sdk(pool).log_in(), await Sdk(alone, host=31).log_in()
            yield Sides(pool, alone, member, newcomer)
            member.close()
            newcomer.close()


async def test_a_host_joins_with_its_storage_and_its_vms_and_is_used_like_the_others(sides: Sides) -> None:
    sdk, newcomer = sides.sdk, sides.newcomer
    (vm,) = await newcomer.call("VM.get_by_name_label", "brought")
    uuid = await newcomer.call("VM.get_uuid", vm)
    disk = await newcomer.call("VDI.get_record", await disk_of(newcomer, vm))
    sides.alone.pool.repositories[disk["SR"]].disk(disk["uuid"]).write(0, b"mine" * 128)
    token = (await sdk.call("event.from", ["host"], "", 0.0))["token"]

    await sides.join()

    events = (await sdk.call("event.from", ["host"], token, 10.0))["events"]
    assert ("add", "new") in {(event["operation"], event["snapshot"]["name_label"]) for event in events}
    (host,) = await sdk.call("host.get_by_name_label", "new")
    record = await sdk.call("host.get_record", host)
    assert (record["address"], record["enabled"], len(record["host_CPUs"])) == (ADDRESS, True, 2)
    assert await sdk.call("host_metrics.get_live", record["metrics"]) is True
    (usb,) = (await sdk.call("PUSB.get_all_records")).values()
    assert (usb["host"], usb["product_desc"]) == (host, "Licence key")
    arrived = await sdk.call("VM.get_by_uuid", uuid)
    moved = await sdk.call("VDI.get_record", await disk_of(sdk, arrived))
    assert (moved["uuid"], moved["name_label"]) == (disk["uuid"], "its disk")
    content = bytearray(512)
    sides.pool.pool.repositories[moved["SR"]].disk(moved["uuid"]).read_into(0, content)
    assert content == b"mine" * 128
    (shared,) = await sdk.call("SR.get_by_name_label", "Shared storage")
    assert len(await sdk.call("SR.get_PBDs", shared)) == 3
    await sdk.run("VM.start_on", arrived, host, False, False)
    infos = await sdk.call("VDI.get_nbd_info", await disk_of(sdk, arrived))
    assert [info["address"] for info in infos] == [ADDRESS]
    (web,) = await sdk.call("VM.get_by_name_label", "web")
    await sdk.call("VM.pool_migrate", web, host, {"live": "true"})
    assert {info["address"] for info in await sdk.call("VDI.get_nbd_info", await disk_of(sdk, web))} == {
        "127.0.0.11",
        "127.0.0.12",
        ADDRESS,
    }


async def test_a_member_shows_the_certificate_it_had_and_names_its_coordinator(sides: Sides) -> None:
    before = sides.alone.pool.coordinator.certificate.pem
    await sides.join()
    port = sides.pool.pool.description.https_port
    (host,) = await sides.sdk.call("host.get_by_name_label", "new")
    shown = await asyncio.to_thread(ssl.get_server_certificate, (ADDRESS, port))
    assert shown == before == await sides.sdk.call("host.get_server_certificate", host)
    member = Sdk(sides.pool, host=31)
    assert await member.login_refused() == ["HOST_IS_SLAVE", "127.0.0.11"]
    member.close()


async def test_a_member_that_joined_dies_boots_and_leads_like_any_other(sides: Sides) -> None:
    await sides.join()
    (host,) = await sides.sdk.call("host.get_by_name_label", "new")
    pool = sides.pool.pool
    await pool.failures.kill(pool.hosts[host])
    await pool.failures.revive(pool.hosts[host])
    await pool.failures.designate(pool.hosts[host])
    leading = await Sdk(sides.pool, host=31).log_in()
    (record,) = (await leading.call("pool.get_all_records")).values()
    assert record["master"] == host
    leading.close()


async def test_what_keeps_a_host_out_is_said_and_changes_nothing(sides: Sides) -> None:
    sdk, newcomer = sides.sdk, sides.newcomer
    (vm,) = await newcomer.call("VM.get_by_name_label", "brought")
    assert (await sides.refused(password="wrong"))[0] == "SESSION_AUTHENTICATION_FAILED"
    assert await sides.refused(address="127.0.0.99") == ["JOINING_HOST_CONNECTION_FAILED"]
    assert await sides.refused(address="127.0.0.12") == ["HOST_IS_SLAVE", "127.0.0.11"]
    assert await sides.refused(address=ADDRESS) == [
        "OPERATION_NOT_ALLOWED",
        "Host cannot become slave of itself",
    ]
    await newcomer.run("VM.start", vm, False, False)
    assert await sides.refused() == ["JOINING_HOST_CANNOT_HAVE_RUNNING_VMS"]
    await newcomer.run("VM.hard_shutdown", vm)
    (shared,) = await sdk.call("SR.get_by_name_label", "Shared storage")
    await sdk.call("pool.enable_ha", [shared], {})
    assert await sides.refused() == ["HA_IS_ENABLED"]
    await sdk.call("pool.disable_ha")
    assert await sdk.refused("pool.join", ADDRESS, "root", PASSWORD) == [
        "JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS"
    ]
    (mine,) = await newcomer.call("host.get_all")
    version = sides.alone.pool.db.row("host", mine)["software_version"]
    sides.alone.pool.db.set("host", mine, "software_version", version | {"platform_version": "0"})
    assert await sides.refused() == ["POOL_HOSTS_NOT_HOMOGENEOUS", "Software version differs"]
    assert len(await sdk.call("host.get_all")) == 2
    await sides.join("pool.join_force")
    assert len(await sdk.call("host.get_all")) == 3


async def test_a_host_whose_process_dies_while_it_joins_is_a_dead_member_and_can_be_removed(
    sides: Sides,
) -> None:
    await sides.newcomer.run("pool.join", *sides.credentials())
    await sides.alone.stop()
    (host,) = await sides.sdk.call("host.get_by_name_label", "new")
    metrics = await sides.sdk.call("host.get_metrics", host)
    assert await sides.sdk.call("host_metrics.get_live", metrics) is False
    await sides.sdk.call("host.destroy", host)
    assert len(await sides.sdk.call("host.get_all")) == 2


async def test_a_member_is_ejected_as_newly_installed_and_joins_again(sides: Sides) -> None:
    sdk = sides.sdk
    await sides.join()
    (host,) = await sdk.call("host.get_by_name_label", "new")
    uuid = await sdk.call("host.get_uuid", host)
    (coordinator,) = await sdk.call("host.get_by_name_label", "host-1")
    assert await sdk.refused("pool.eject", coordinator) == ["INTERNAL_ERROR", "Xapi_pool.Cannot_eject_master"]
    (vm,) = await sdk.call("VM.get_by_name_label", "brought")
    await sdk.run("VM.start_on", vm, host, False, False)
    assert await sdk.refused("pool.eject", host) == ["OPERATION_NOT_ALLOWED", "VM resident on host"]
    await sdk.run("VM.hard_shutdown", vm)
    await sdk.run("pool.eject", host)
    await sides.pool.pool.settled()
    assert await sdk.refused("host.get_by_uuid", uuid) == ["UUID_INVALID", "host", uuid]
    assert await sdk.call("SR.get_by_name_label", "Own disks") == []
    (shared,) = await sdk.call("SR.get_by_name_label", "Shared storage")
    assert len(await sdk.call("SR.get_PBDs", shared)) == 2
    assert await sdk.call("PUSB.get_all") == [] == await sdk.call("USB_group.get_all")

    again = await Sdk(sides.pool, host=31).log_in()
    (alone,) = await again.call("host.get_all_records")
    record = await again.call("host.get_record", alone)
    assert (record["address"], record["name_label"]) == (ADDRESS, "new")
    assert record["uuid"] != uuid
    names = {sr["name_label"] for sr in (await again.call("SR.get_all_records")).values()}
    assert names == {"Local storage", "XenServer Tools"}
    await again.run("pool.join", *sides.credentials())
    (offspring,) = sides.pool.offspring
    await offspring.pool.settled()
    assert len(await sdk.call("host.get_all")) == 3
    assert len(await sdk.call("SR.get_by_name_label", "Local storage")) == 1
    again.close()
