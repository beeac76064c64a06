"""Calls that clients make and that mean little to a simulated pool: records change, refusals have codes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.certificates import make_certificate
from services.simulator.pool.description import (
    DiskDescription,
    HostDescription,
    StorageDescription,
    VmDescription,
)
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_vm_life import only_vm

NULL = "OpaqueRef:NULL"


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """A host with a USB device and two kinds of storage; the VM is off."""
    host = HostDescription(name="host-1", address="127.0.0.11", cpus=1, usb_devices=["Licence key"])
    storage = [
        StorageDescription(name="shared"),
        StorageDescription(name="own", type="ext", host="host-1"),
    ]
    vm = VmDescription(name="web", disks=[DiskDescription(size_bytes=4 * MIB, storage="shared")])
    description = describe(tmp_path / "pool", vms=[vm], storage=storage)
    async with running(description.model_copy(update={"hosts": [host]})) as simulation:
        yield simulation


async def the(sdk: Sdk, cls: str) -> str:
    (ref,) = await sdk.call(f"{cls}.get_all")
    return str(ref)


async def test_a_vm_with_a_usb_device_stays_where_it_is(sdk: Sdk) -> None:
    vm, group = await only_vm(sdk), await the(sdk, "USB_group")
    empty = await sdk.call("USB_group.create", "empty", "", {})
    assert await sdk.refused("VUSB.create", vm, empty, {}) == ["USB_GROUP_CONTAINS_NO_PUSBS", empty]
    await sdk.call("USB_group.destroy", empty)
    usb = await sdk.call("VUSB.create", vm, group, {})
    assert await sdk.refused("VUSB.create", vm, group, {}) == ["USB_GROUP_CONTAINS_VUSB", usb]
    assert await sdk.call("USB_group.get_VUSBs", group) == [usb] == await sdk.call("VM.get_VUSBs", vm)
    assert await sdk.refused("VM.snapshot", vm, "no") == ["VM_HAS_VUSBS", vm]
    assert "snapshot" not in await sdk.call("VM.get_allowed_operations", vm)
    await sdk.run("VM.start", vm, False, False)
    assert (await sdk.refused("VUSB.destroy", usb))[0] == "OPERATION_NOT_ALLOWED"
    await sdk.call("VUSB.unplug", usb)
    assert await sdk.refused("VUSB.unplug", usb) == ["DEVICE_ALREADY_DETACHED", usb]
    await sdk.call("VUSB.destroy", usb)
    taken = await sdk.call("VM.snapshot", vm, "yes")
    await sdk.run("VM.hard_shutdown", vm)
    await sdk.call("VUSB.create", vm, group, {})
    await sdk.run("VM.revert", taken)
    assert await sdk.call("VUSB.get_all") == await sdk.call("VM.get_VUSBs", vm) == []
    await sdk.call("VUSB.create", vm, group, {})
    await sdk.run("VM.destroy", vm)
    assert await sdk.call("VUSB.get_all") == await sdk.call("USB_group.get_VUSBs", group) == []


async def test_authorities_are_installed_by_name_and_listed(sdk: Sdk, tmp_path: Path) -> None:
    pem = make_certificate(tmp_path / "ca.pem", "ca", "192.0.2.1", datetime(2026, 1, 1, tzinfo=UTC)).pem
    assert await sdk.refused("pool.install_ca_certificate", "a/b", pem) == ["CERTIFICATE_NAME_INVALID", "a/b"]
    assert await sdk.refused("pool.install_ca_certificate", "ca", "x") == ["CERTIFICATE_CORRUPT", "ca"]
    await sdk.call("pool.install_ca_certificate", "ca", pem)
    assert await sdk.refused("pool.certificate_install", "ca", pem) == ["CERTIFICATE_ALREADY_EXISTS", "ca"]
    assert await sdk.call("pool.certificate_list") == ["ca"]
    records = (await sdk.call("Certificate.get_all_records")).values()
    assert sorted(record["type"] for record in records) == ["ca", "host", "host_internal"]
    await sdk.call("pool.uninstall_ca_certificate", "ca")
    assert await sdk.refused("pool.certificate_uninstall", "ca") == ["CERTIFICATE_DOES_NOT_EXIST", "ca"]
    assert await sdk.refused("pool.crl_uninstall", "list") == ["CRL_DOES_NOT_EXIST", "list"]


async def test_repositories_of_updates_are_records(sdk: Sdk) -> None:
    pool = await the(sdk, "pool")
    assert await sdk.refused("pool.sync_updates", pool, False, "", "") == ["NO_REPOSITORY_ENABLED"]
    about = ["base", "", "https://updates.invalid/bin", "https://updates.invalid/src", True]
    repository = await sdk.call("Repository.introduce", *about)
    assert await sdk.refused("Repository.introduce", *about) == ["REPOSITORY_ALREADY_EXISTS", repository]
    await sdk.call("pool.set_repositories", pool, [repository])
    assert await sdk.refused("Repository.forget", repository) == ["REPOSITORY_IS_IN_USE"]
    assert (await sdk.refused("pool.sync_updates", pool, False, "", ""))[0] == "SYNC_UPDATES_FAILED"
    await sdk.call("pool.remove_repository", pool, repository)
    await sdk.call("Repository.forget", repository)
    await sdk.call("pool.configure_repository_proxy", pool, "http://proxy.invalid", "me", "secret")
    assert await sdk.call("pool.get_repository_proxy_username", pool) == "me"
    await sdk.call("pool.disable_repository_proxy", pool)
    assert await sdk.call("secret.get_all") == []


async def test_interfaces_tunnels_and_switch_controllers(sdk: Sdk) -> None:
    pif, network = (
        await the(sdk, "PIF"),
        await sdk.call("network.create", {"name_label": "n", "other_config": {}}),
    )
    tunnel = await sdk.call("tunnel.create", pif, network, "gre")
    (access,) = await sdk.call("network.get_PIFs", network)
    assert await sdk.call("PIF.get_tunnel_access_PIF_of", access) == [tunnel]
    assert (await sdk.refused("tunnel.create", pif, network, "gre"))[0] == "NETWORK_ALREADY_CONNECTED"
    await sdk.call("tunnel.destroy", tunnel)
    assert await sdk.call("network.get_PIFs", network) == []
    assert await sdk.refused("network_sriov.create", pif, network) == ["PIF_IS_NOT_SRIOV_CAPABLE", pif]
    assert await sdk.refused("PIF.forget", pif) == ["PIF_IS_MANAGEMENT_INTERFACE", pif]
    await sdk.call("PIF.set_property", pif, "gro", "off")
    assert await sdk.call("PIF.get_properties", pif) == {"gro": "off"}
    await sdk.call("PIF.reconfigure_ipv6", pif, "Static", "fd00::1/64", "", "")
    assert await sdk.call("PIF.get_IPv6", pif) == ["fd00::1/64"]
    await sdk.call("pool.management_reconfigure", await sdk.call("PIF.get_network", pif))
    assert (await sdk.refused("pool.management_reconfigure", network))[0] == "PIF_NOT_PRESENT"
    await sdk.call("pool.set_vswitch_controller", "192.0.2.9")
    assert await sdk.call("SDN_controller.get_address", await the(sdk, "SDN_controller")) == "192.0.2.9"
    await sdk.call("SDN_controller.forget", await the(sdk, "SDN_controller"))


async def test_what_a_host_notes(sdk: Sdk) -> None:
    host, pool = await the(sdk, "host"), await the(sdk, "pool")
    await sdk.call("pool.apply_edition", pool, "standard")
    assert await sdk.call("host.get_edition", host) == "standard"
    assert await sdk.refused("host.apply_edition", host, "gold", False) == ["INVALID_EDITION", "gold"]
    assert await sdk.refused("host.license_add", host, "x") == ["LICENSE_FILE_DEPRECATED"]
    await sdk.call("host.set_sched_gran", host, "core")
    assert await sdk.call("host.get_sched_gran", host) == "core"
    (own,), (shared,) = [await sdk.call("SR.get_by_name_label", name) for name in ("own", "shared")]
    assert await sdk.refused("host.enable_local_storage_caching", host, own) == ["HOST_NOT_DISABLED"]
    await sdk.call("host.disable", host)
    assert await sdk.refused("host.enable_local_storage_caching", host, shared) == [
        "SR_OPERATION_NOT_SUPPORTED",
        shared,
    ]
    await sdk.call("pool.enable_local_storage_caching", pool)
    assert await sdk.call("host.get_local_cache_sr", host) == own
    await sdk.call("pool.disable_local_storage_caching", pool)
    assert await sdk.call("host.get_local_cache_sr", host) == NULL
    assert await sdk.refused("pool.enable_external_auth", pool, {}, "example.org", "PAM") == [
        "AUTH_UNKNOWN_TYPE",
        "PAM",
    ]
    await sdk.call("pool.rotate_secret")
    await sdk.call("pool.deconfigure_wlb")
    assert await sdk.refused("pool.initialize_wlb", "wlb.invalid", "a", "b", "c", "d") == [
        "WLB_CONNECTION_REFUSED"
    ]


async def test_blobs_belong_to_objects_by_name(sdk: Sdk) -> None:
    vm = await only_vm(sdk)
    blob = await sdk.call("VM.create_new_blob", vm, "icon", "image/png", False)
    assert await sdk.call("VM.get_blobs", vm) == {"icon": blob}
    assert (await sdk.refused("VM.create_new_blob", vm, "icon", "", False))[0] == "MAP_DUPLICATE_KEY"
    assert await sdk.call("blob.get_all") == [blob]
    await sdk.call("blob.destroy", blob)
    assert await sdk.call("VM.get_blobs", vm) == {}


async def test_blobs_go_with_their_vm_but_not_with_other_owners(sdk: Sdk) -> None:
    vm, network = await only_vm(sdk), (await sdk.call("network.get_all"))[0]
    await sdk.call("VM.create_new_blob", vm, "icon", "", False)
    kept = await sdk.call("network.create_new_blob", network, "notes", "", False)
    copy = await sdk.call("VM.clone", vm, "copy")
    assert await sdk.call("VM.get_blobs", copy) == {}
    await sdk.call("VM.destroy", vm)
    assert await sdk.call("blob.get_all") == [kept]
    assert (await sdk.call("blob.get_record", kept))["mime_type"] == "application/octet-stream"


@pytest.mark.parametrize("version", ["8.2", "24.19"])
async def test_a_template_has_no_metrics_and_the_vm_made_of_it_gets_none(
    tmp_path: Path, version: str
) -> None:
    vm = VmDescription(name="web", disks=[DiskDescription(size_bytes=4 * MIB)])
    async with running(describe(tmp_path / "pool", vms=[vm], version=version)) as simulation:
        sdk = await Sdk(simulation).log_in()
        vm_ref = await only_vm(sdk)
        metrics = await sdk.call("VM.get_metrics", vm_ref)
        token = (await sdk.call("event.from", ["VM_metrics"], "", 0.0))["token"]
        await sdk.call("VM.set_is_a_template", vm_ref, True)
        (event,) = (await sdk.call("event.from", ["VM_metrics"], token, 5.0))["events"]
        assert (event["operation"], event["ref"]) == ("del", metrics)
        assert await sdk.call("VM.get_metrics", vm_ref) == (metrics if version == "8.2" else NULL)
        clone = await sdk.call("VM.clone", vm_ref, "clone")
        await sdk.call("VM.set_is_a_template", vm_ref, False)
        assert await sdk.refused("VM_metrics.get_uuid", metrics) == ["HANDLE_INVALID", "VM_metrics", metrics]
        await sdk.call("VM.start", vm_ref, False, False)
        assert await sdk.call("VM.get_power_state", vm_ref) == "Running"
        await sdk.call("VM.set_is_a_template", clone, False)
        fresh = await sdk.call("VM.get_metrics", clone)
        assert (await sdk.call("VM_metrics.get_install_time", fresh)).value > "2026"
        sdk.close()


async def test_a_coordinator_that_starts_gives_metrics_to_vms_without(
    simulation: Simulation, sdk: Sdk
) -> None:
    vm = await only_vm(sdk)
    await sdk.call("VM.set_is_a_template", vm, True)
    await simulation.pool.failures.restart_toolstack(simulation.pool.coordinator)
    again = await Sdk(simulation).log_in()
    metrics = await again.call("VM.get_metrics", vm)
    assert (await again.call("VM_metrics.get_install_time", metrics)).value == "19700101T00:00:00Z"
    again.close()


async def test_a_template_is_in_no_group_and_without_proxies(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", version="26.17", vms=[])) as simulation:
        sdk = await Sdk(simulation).log_in()
        pool = simulation.pool
        vm = pool.create("VM", name_label="apart", power_state="Halted")
        vif = pool.create("VIF", VM=vm, device="0")
        site = await sdk.call("PVS_site.introduce", "site", "", "")
        await sdk.call("PVS_proxy.create", site, vif)
        group = await sdk.call("VM_group.create", {"name_label": "apart", "placement": "anti_affinity"})
        await sdk.call("VM.set_groups", vm, [group])
        await sdk.call("VM.set_is_a_template", vm, True)
        assert await sdk.call("VM_group.get_VMs", group) == await sdk.call("VM.get_groups", vm) == []
        assert await sdk.call("PVS_proxy.get_all") == []
        sdk.close()


async def test_a_pool_has_none_of_what_older_and_newer_updates_are(sdk: Sdk) -> None:
    gone = "OpaqueRef:gone"
    asked: dict[str, list[Any]] = {
        "pool_update.pool_apply": [gone],
        "pool_patch.destroy": [gone],
        "host_crashdump.destroy": [gone],
        "crashdump.destroy": [gone],
    }
    for method, arguments in asked.items():
        assert await sdk.refused(method, *arguments) == ["HANDLE_INVALID", method.split(".")[0], gone]


async def test_newer_releases_have_switches_for_all_hosts(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", version="26.17", vms=[])) as simulation:
        sdk = await Sdk(simulation).log_in()
        pool, host = await the(sdk, "pool"), await the(sdk, "host")
        await sdk.call("pool.enable_ssh", pool)
        await sdk.call("pool.set_console_idle_timeout", pool, "300")
        record = await sdk.call("host.get_record", host)
        assert (record["ssh_enabled"], record["console_idle_timeout"]) == (True, "300")
        sdk.close()


async def test_provisioning_sites_keep_what_uses_them(sdk: Sdk) -> None:
    site = await sdk.call("PVS_site.introduce", "site", "", "uuid of its own")
    server = await sdk.call("PVS_server.introduce", ["192.0.2.7"], "6910", "6930", site)
    again = await sdk.refused("PVS_server.introduce", ["192.0.2.7"], "1", "2", site)
    assert again == ["PVS_SERVER_ADDRESS_IN_USE", "192.0.2.7"]
    (vif,) = await sdk.call("VIF.get_all")
    proxy = await sdk.call("PVS_proxy.create", site, vif)
    assert await sdk.call("PVS_site.get_proxies", site) == [proxy]
    assert await sdk.refused("PVS_site.forget", site) == ["PVS_SITE_CONTAINS_SERVERS", server]
    await sdk.call("PVS_proxy.destroy", proxy)
    await sdk.call("PVS_server.forget", server)
    await sdk.call("PVS_site.forget", site)


async def test_an_interface_that_was_forgotten_is_introduced_again(sdk: Sdk) -> None:
    host = await the(sdk, "host")
    pif = await sdk.call("PIF.introduce", host, "52:54:00:00:00:01", "eth7", True)
    assert await sdk.refused("PIF.introduce", host, "52:54:00:00:00:02", "eth7", True) == [
        "DUPLICATE_PIF_DEVICE_NAME",
        "eth7",
    ]
    assert await sdk.refused("PIF.introduce", host, "x", "eth8", True) == ["MAC_INVALID", "x"]
    network = await sdk.call("PIF.get_network", pif)
    assert await sdk.call("network.get_bridge", network) == "xenbr7"
    await sdk.call("PIF.forget", pif)
    assert await sdk.call("network.get_PIFs", network) == []


async def test_newer_releases_tell_of_secure_boot_time_and_messages(tmp_path: Path) -> None:
    disk = DiskDescription(size_bytes=4 * MIB)
    vms = [VmDescription(name="uefi", firmware="uefi", disks=[disk]), VmDescription(name="bios")]
    async with running(describe(tmp_path / "pool", version="26.17", vms=vms)) as simulation:
        sdk = await Sdk(simulation).log_in()
        (uefi,), (bios,) = [await sdk.call("VM.get_by_name_label", name) for name in ("uefi", "bios")]
        assert await sdk.call("VM.get_secureboot_readiness", bios) == "not_supported"
        assert await sdk.call("VM.get_secureboot_readiness", uefi) == "disabled"
        await sdk.call("VM.add_to_platform", uefi, "secureboot", "true")
        assert await sdk.call("VM.get_secureboot_readiness", uefi) == "first_boot"
        await sdk.call("VM.set_uefi_mode", uefi, "setup")
        assert await sdk.call("VM.get_secureboot_readiness", uefi) == "setup_mode"
        await sdk.call("VM.set_uefi_mode", uefi, "user")
        await sdk.call("VM.set_NVRAM", uefi, {"EFI-variables": "AAAA"})
        assert await sdk.call("VM.get_secureboot_readiness", uefi) == "ready"
        host, pool = await the(sdk, "host"), await sdk.call("pool.get_all_records")
        assert await sdk.call("host.get_ntp_synchronized", host) is True
        assert "UTC" in await sdk.call("host.list_timezones", host)
        (uuid,) = [record["uuid"] for record in pool.values()]
        for name in ("one", "two"):
            await sdk.call("message.create", name, "3", "Pool", uuid, "")
        await sdk.call("message.destroy_all", {"name": "one"})
        names = [record["name"] for record in (await sdk.call("message.get_all_records")).values()]
        assert names == ["two"]
        sdk.close()


async def test_a_simulated_pool_has_no_clusters_and_no_drivers_to_choose(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", version="26.17", vms=[])) as simulation:
        sdk = await Sdk(simulation).log_in()
        gone, (host,) = "OpaqueRef:gone", await sdk.call("host.get_all")
        for method in ("Cluster.pool_destroy", "Cluster_host.enable", "Host_driver.deselect"):
            assert await sdk.refused(method, gone) == ["HANDLE_INVALID", method.split(".")[0], gone]
        await sdk.call("Host_driver.rescan", host)
        assert await sdk.call("Host_driver.get_all") == []
        refused = await sdk.refused("host.apply_updates", host, "0123")
        assert refused == ["NO_REPOSITORY_ENABLED"]
        (pool,) = await sdk.call("pool.get_all")
        bundle = await sdk.call("Repository.introduce_bundle", "bundle", "from a file")
        again = await sdk.refused("Repository.introduce_bundle", "another", "")
        assert again == ["BUNDLE_REPOSITORY_ALREADY_EXISTS", bundle]
        other = ["pool", "theirs", "https://xen.example/repository", ""]
        remote = await sdk.call("Repository.introduce_remote_pool", *other)
        assert await sdk.refused("Repository.introduce_remote_pool", *other) == [
            "REPOSITORY_ALREADY_EXISTS",
            remote,
        ]
        assert await sdk.call("Repository.get_origin", remote) == "remote_pool"
        await sdk.call("pool.set_repositories", pool, [bundle])
        refused = await sdk.refused("host.apply_updates", host, "0123")
        assert refused == ["UPDATEINFO_HASH_MISMATCH"]
        sdk.close()


async def test_a_pool_trusts_certificates_for_a_purpose(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", version="26.17", vms=[])) as simulation:
        sdk = await Sdk(simulation).log_in()
        (pool,) = await sdk.call("pool.get_all")
        made = make_certificate(tmp_path / "ldap.pem", "ldap", "192.0.2.7", datetime.now(UTC))
        await sdk.call("pool.install_trusted_certificate", pool, False, made.pem, ["ldaps"])
        records = await sdk.call("Certificate.get_all_records")
        (ref,) = [ref for ref, record in records.items() if record["type"] == "pinned"]
        assert records[ref]["fingerprint_sha256"] == made.fingerprint
        assert records[ref]["purpose"] == ["ldaps"]
        method = "pool.install_trusted_certificate"
        refusal = await sdk.refused(method, pool, False, made.pem, [])
        assert refusal == ["TRUSTED_CERTIFICATE_ALREADY_EXISTS", made.fingerprint]
        assert await sdk.refused(method, pool, True, "none", []) == ["TRUSTED_CERTIFICATE_INVALID"]
        old = make_certificate(tmp_path / "old.pem", "old", "192.0.2.8", datetime(2001, 1, 1, tzinfo=UTC))
        new = make_certificate(tmp_path / "new.pem", "new", "192.0.2.9", datetime(2101, 1, 1, tzinfo=UTC))
        assert (await sdk.refused(method, pool, True, old.pem, []))[0] == "TRUSTED_CERTIFICATE_EXPIRED"
        refusal = await sdk.refused(method, pool, True, new.pem, [])
        assert refusal[0] == "TRUSTED_CERTIFICATE_NOT_VALID_YET"
        await sdk.call("pool.uninstall_trusted_certificate", pool, ref)
        (own,) = [ref for ref, record in records.items() if record["type"] == "host"]
        refusal = await sdk.refused("pool.uninstall_trusted_certificate", pool, own)
        assert refusal == ["NOT_TRUSTED_CERTIFICATE", own]
        assert ref not in await sdk.call("Certificate.get_all")
        sdk.close()
