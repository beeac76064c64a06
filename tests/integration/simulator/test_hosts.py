"""Hosts: emptied, stopped, removed; how many a pool may lose; their networks."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.simulator.pool.certificates import make_certificate
from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """Three hosts; a VM that must always run is on the second."""
    disk = DiskDescription(size_bytes=8 * MIB)
    vm = VmDescription(name="web", host="host-2", disks=[disk], ha_restart_priority="restart")
    async with running(describe(tmp_path / "pool", hosts=3, vms=[vm])) as simulation:
        yield simulation


async def named(sdk: Sdk, cls: str, name: str) -> str:
    (ref,) = await sdk.call(f"{cls}.get_by_name_label", name)
    return str(ref)


async def test_a_host_is_emptied_and_reboots(simulation: Simulation, sdk: Sdk) -> None:
    host, vm = await named(sdk, "host", "host-2"), await named(sdk, "VM", "web")
    assert await sdk.refused("host.reboot", host) == ["HOST_NOT_DISABLED"]
    await sdk.call("host.disable", host)
    assert await sdk.refused("host.reboot", host) == ["HOST_HAS_RESIDENT_VMS", host]
    await sdk.run("host.evacuate", host)
    assert await sdk.call("VM.get_resident_on", vm) != host
    assert await sdk.call("VM.get_power_state", vm) == "Running"
    before = (await sdk.call("host.get_other_config", host))["boot_time"]
    await sdk.call("host.reboot", host)
    await simulation.pool.settled()
    record = await sdk.call("host.get_record", host)
    assert record["enabled"] is True
    assert record["other_config"]["boot_time"] >= before


async def test_a_host_with_a_vm_that_fits_nowhere_is_not_emptied(sdk: Sdk) -> None:
    host, vm = await named(sdk, "host", "host-2"), await named(sdk, "VM", "web")
    for other in ("host-1", "host-3"):
        await sdk.call("host.disable", await named(sdk, "host", other))
    reasons = await sdk.call("host.get_vms_which_prevent_evacuation", host)
    assert reasons[vm][0] == "HOST_DISABLED"
    assert (await sdk.refused("host.evacuate", host))[0] == "CANNOT_EVACUATE_HOST"
    assert await sdk.call("VM.get_resident_on", vm) == host


async def test_a_host_that_is_gone_for_ever_is_removed(simulation: Simulation, sdk: Sdk) -> None:
    lost, leader = await named(sdk, "host", "host-3"), await named(sdk, "host", "host-1")
    assert await sdk.refused("host.destroy", leader) == ["HOST_CANNOT_DESTROY_SELF", leader]
    assert await sdk.refused("host.destroy", lost) == ["HOST_IS_LIVE", lost]
    await simulation.pool.failures.kill(simulation.pool.hosts[lost])
    await sdk.run("host.destroy", lost)
    assert len(await sdk.call("host.get_all")) == 2
    assert lost not in [await sdk.call("PBD.get_host", pbd) for pbd in await sdk.call("PBD.get_all")]


async def test_a_pool_knows_how_many_hosts_it_may_lose(sdk: Sdk) -> None:
    host, vm = await named(sdk, "host", "host-2"), await named(sdk, "VM", "web")
    assert await sdk.call("pool.ha_compute_max_host_failures_to_tolerate") == "2"
    assert await sdk.call("pool.ha_failover_plan_exists", "2") is True
    assert await sdk.call("pool.ha_failover_plan_exists", "3") is False
    plan = await sdk.call("pool.ha_compute_vm_failover_plan", [host], [vm])
    assert plan[vm]["host"] not in ("", host)
    await sdk.run("VM.hard_shutdown", vm)
    await sdk.call("VM.set_memory", vm, str(60 * 1024**3))
    assert await sdk.call("pool.ha_compute_max_host_failures_to_tolerate") == "0"


async def test_a_vlan_is_made_on_every_host_and_goes_with_its_interface(sdk: Sdk) -> None:
    network = await sdk.call(
        "network.create", {"name_label": "vlan", "name_description": "", "other_config": {}}
    )
    pif = (await sdk.call("PIF.get_all"))[0]
    made = await sdk.call("pool.create_VLAN_from_PIF", pif, network, "7")
    assert {await sdk.call("PIF.get_VLAN", ref) for ref in made} == {"7"}
    assert len({await sdk.call("PIF.get_host", ref) for ref in made}) == 3
    assert sorted(await sdk.call("network.get_PIFs", network)) == sorted(made)
    assert (await sdk.refused("VLAN.create", pif, "7", network))[0] == "PIF_VLAN_EXISTS"
    assert await sdk.refused("VLAN.create", pif, "4095", network) == ["VLAN_TAG_INVALID", "4095"]
    await sdk.call("VLAN.destroy", await sdk.call("PIF.get_VLAN_master_of", made[0]))
    assert (await sdk.refused("PIF.get_uuid", made[0]))[0] == "HANDLE_INVALID"


async def test_the_management_interface_stays_where_clients_find_it(sdk: Sdk) -> None:
    host = await named(sdk, "host", "host-1")
    pif = await sdk.call("host.get_management_interface", host)
    assert await sdk.refused("PIF.unplug", pif) == ["PIF_IS_MANAGEMENT_INTERFACE", pif]
    static = [pif, "Static", "192.0.2.7", "255.255.255.0", "", ""]
    assert await sdk.refused("PIF.reconfigure_ip", *static) == ["PIF_IS_MANAGEMENT_INTERFACE", pif]


async def test_roles_tell_what_they_allow(sdk: Sdk) -> None:
    role = await named(sdk, "role", "vm-admin")
    allowed = await sdk.call("role.get_permissions_name_label", role)
    assert "vm.create" in allowed
    assert "vm.snapshot" not in allowed
    able = await sdk.call("role.get_by_permission_name_label", "vm.snapshot")
    assert {await sdk.call("role.get_name_label", ref) for ref in able} == {
        "pool-admin", "pool-operator", "vm-power-admin"
    }  # fmt: skip
    subject = await sdk.call("subject.create", {"subject_identifier": "S-1-5-21", "other_config": {}})
    await sdk.call("subject.add_to_roles", subject, role)
    assert await sdk.refused("subject.add_to_roles", subject, role) == ["ROLE_ALREADY_EXISTS"]
    assert await sdk.refused("auth.get_subject_identifier", "somebody") == ["AUTH_IS_DISABLED"]


async def test_a_schedule_keeps_as_many_snapshots_as_it_was_told(sdk: Sdk) -> None:
    vm = await named(sdk, "VM", "web")
    record = {"name_label": "daily", "name_description": "", "enabled": True, "type": "snapshot"}
    record |= {"retained_snapshots": "1", "frequency": "daily", "schedule": {"hour": "0"}}
    schedule = await sdk.call("VMSS.create", record)
    await sdk.call("VM.set_snapshot_schedule", vm, schedule)
    for _ in range(2):
        await sdk.call("VMSS.snapshot_now", schedule)
    (taken,) = await sdk.call("VM.get_snapshots", vm)
    assert await sdk.call("VM.get_is_vmss_snapshot", taken) is True
    assert await sdk.refused("VMSS.destroy", schedule) == ["VMSS_HAS_VM"]
    await sdk.call("VM.set_snapshot_schedule", vm, "OpaqueRef:NULL")
    await sdk.call("VMSS.destroy", schedule)


async def test_vms_are_in_one_group_which_knows_them(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", version="26.17")) as simulation:
        sdk = await Sdk(simulation).log_in()
        vm = await named(sdk, "VM", "web")
        about = {"name_description": "", "placement": "anti_affinity"}
        groups = [await sdk.call("VM_group.create", about | {"name_label": name}) for name in ("a", "b")]
        assert (await sdk.refused("VM.set_groups", vm, groups))[0] == "OPERATION_NOT_ALLOWED"
        for group in groups:
            await sdk.call("VM.set_groups", vm, [group])
        assert [await sdk.call("VM_group.get_VMs", group) for group in groups] == [[], [vm]]
        await sdk.call("VM_group.destroy", groups[1])
        assert await sdk.call("VM.get_groups", vm) == []
        sdk.close()


async def test_a_host_shows_the_certificate_that_was_installed(
    simulation: Simulation, sdk: Sdk, tmp_path: Path
) -> None:
    host = await named(sdk, "host", "host-1")
    now = simulation.pool.clock.now()
    made = make_certificate(tmp_path / "new.pem", "host-1", "127.0.0.11", now)
    key = made.path.read_text().partition("-----BEGIN CERTIFICATE-----")[0]
    other = make_certificate(tmp_path / "other.pem", "host-1", "127.0.0.11", now)
    for certificate, private, code in (
        (made.pem, "no key", "SERVER_CERTIFICATE_KEY_INVALID"),
        ("no certificate", key, "SERVER_CERTIFICATE_INVALID"),
        (other.pem, key, "SERVER_CERTIFICATE_KEY_MISMATCH"),
    ):
        refused = await sdk.refused("host.install_server_certificate", host, certificate, private, "")
        assert refused[0] == code
    await sdk.call("host.install_server_certificate", host, made.pem, key, "")
    port = simulation.pool.description.https_port
    shown = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.11", port))
    assert shown.strip() == made.pem.strip()
    assert await sdk.call("host.get_server_certificate", host) == made.pem
    shown_by = await sdk.call("host.get_certificates", host)
    assert made.fingerprint in [await sdk.call("Certificate.get_fingerprint", ref) for ref in shown_by]
    await sdk.call("host.reset_server_certificate", host)
    assert await sdk.call("host.get_server_certificate", host) != made.pem
