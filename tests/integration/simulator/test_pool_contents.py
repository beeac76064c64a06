"""What is in a pool before anybody does anything, in every release: what clients take for granted."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from services.simulator.pool.description import DiskDescription, StorageDescription, VmDescription
from tests.integration.simulator.pools import MIB, Sdk, describe, running
from tests.integration.simulator.test_versions import VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_pool_has_what_clients_look_for(version: str, tmp_path: Path) -> None:
    vm = VmDescription(name="web", host="host-1", disks=[DiskDescription(size_bytes=4 * MIB)])
    storage = [StorageDescription(name="Shared"), StorageDescription(name="Own", type="ext", host="host-2")]
    described = describe(tmp_path / "pool", 2, version=version, vms=[vm], storage=storage)
    async with running(described) as simulation:
        sdk = await Sdk(simulation).log_in()
        records = {
            cls: await sdk.call(f"{cls}.get_all_records")
            for cls in ("pool", "host", "VM", "SR", "SM", "PBD", "PIF", "network", "host_metrics", "VDI")
        }
        the_pool(records)
        for ref, host in records["host"].items():
            the_host(records, ref, host)
        the_templates(records)
        the_storage(records)
        sdk.close()


def the_pool(records: dict[str, Any]) -> None:
    ((_, pool),) = records["pool"].items()
    assert pool["master"] in records["host"]
    assert records["SR"][pool["default_SR"]]["shared"]
    for name in ("restrict_cbt", "restrict_checkpoint", "restrict_zstd_export", "restrict_vss", "enable_xha"):
        assert pool["restrictions"][name] in ("true", "false")


def the_host(records: dict[str, Any], ref: str, host: dict[str, Any]) -> None:
    assert host["enabled"]
    assert host["address"].startswith("127.")
    assert records["host_metrics"][host["metrics"]]["live"]
    versions = host["software_version"]
    assert [int(part) for part in versions["product_version"].split(".")] > [7]
    assert all(versions[key] for key in ("product_brand", "platform_name", "platform_version", "xapi", "xen"))
    assert (int(host["API_version_major"]), int(host["API_version_minor"]) >= 12) == (2, True)
    assert host["license_params"]["restrict_cbt"] == "false"
    assert {"cpu_count", "socket_count", "vendor", "modelname", "speed"} <= set(host["cpu_info"])
    dom0 = records["VM"][host["control_domain"]]
    assert (dom0["is_control_domain"], dom0["power_state"], dom0["domid"]) == (True, "Running", "0")
    assert dom0["resident_on"] == ref
    pbds = [records["PBD"][pbd] for pbd in host["PBDs"]]
    assert all(pbd["currently_attached"] for pbd in pbds)
    assert {"Shared", "XenServer Tools"} <= {records["SR"][pbd["SR"]]["name_label"] for pbd in pbds}
    (management,) = [pif for pif in (records["PIF"][pif] for pif in host["PIFs"]) if pif["management"]]
    assert (management["IP"], management["currently_attached"]) == (host["address"], True)


def the_templates(records: dict[str, Any]) -> None:
    templates = [vm for vm in records["VM"].values() if vm["is_default_template"]]
    assert len(templates) >= 5
    for template in templates:
        assert (template["is_a_template"], template["other_config"]["default_template"]) == (True, "true")
        assert template["VBDs"] == []
        assert "clone" in template["allowed_operations"]
        assert not {"start", "destroy"} & set(template["allowed_operations"])
    wishes = [
        ElementTree.fromstring(template["other_config"]["disks"])
        for template in templates
        if "disks" in template["other_config"]
    ]
    assert wishes
    assert all(wish.find("disk") is not None for wish in wishes)


def the_storage(records: dict[str, Any]) -> None:
    managers = {sm["type"]: sm for sm in records["SM"].values()}
    for kind in ("nfs", "ext", "lvm", "iso"):
        assert managers[kind]["features"], kind
    assert {"VDI_SNAPSHOT", "VDI_CONFIG_CBT", "VDI_CLONE", "VDI_RESIZE"} <= set(managers["nfs"]["features"])
    assert "VDI_CONFIG_CBT" not in managers["iso"]["features"]
    assert {sr["type"] for sr in records["SR"].values()} <= set(managers)
    (tools,) = [sr for sr in records["SR"].values() if sr["is_tools_sr"]]
    assert (tools["content_type"], len(tools["PBDs"])) == ("iso", 2)
    assert any(records["VDI"][vdi]["name_label"].endswith(".iso") for vdi in tools["VDIs"])
    (own,) = [sr for sr in records["SR"].values() if sr["name_label"] == "Own"]
    assert (own["shared"], len(own["PBDs"])) == (False, 1)
