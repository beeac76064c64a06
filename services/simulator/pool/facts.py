"""What a host says of itself: versions, features, licence."""

from services.simulator.model.lifecycle import Release
from services.simulator.model.releases import FIRST_BY_YEAR, Toolstack

_UNRESTRICTED = [
    "restrict_vlan",
    "restrict_qos",
    "restrict_pool_attached_storage",
    "restrict_netapp",
    "restrict_equalogic",
    "restrict_pooling",
    "restrict_marathon",
    "restrict_email_alerting",
    "restrict_historical_performance",
    "restrict_wlb",
    "restrict_rbac",
    "restrict_dmc",
    "restrict_checkpoint",
    "restrict_cpu_masking",
    "restrict_connection",
    "platform_filter",
    "regular_nag_dialog",
    "restrict_vmpr",
    "restrict_vmss",
    "restrict_intellicache",
    "restrict_gpu",
    "restrict_dr",
    "restrict_vif_locking",
    "restrict_storage_xen_motion",
    "restrict_vgpu",
    "restrict_integrated_gpu_passthrough",
    "restrict_vss",
    "restrict_guest_agent_auto_update",
    "restrict_pci_device_for_auto_update",
    "restrict_xen_motion",
    "restrict_guest_ip_setting",
    "restrict_ad",
    "restrict_nested_virt",
    "restrict_live_patching",
    "restrict_set_vcpus_number_live",
    "restrict_pvs_proxy",
    "restrict_igmp_snooping",
    "restrict_rpu",
    "restrict_pool_size",
    "restrict_cbt",
    "restrict_usb_passthrough",
    "restrict_network_sriov",
    "restrict_corosync",
    "restrict_zstd_export",
    "restrict_pool_secret_rotation",
    "restrict_certificate_verification",
    "restrict_updates",
    "restrict_internal_repo_access",
    "restrict_vtpm",
]
RESTRICTIONS = {name: "false" for name in _UNRESTRICTED} | {"enable_xha": "true"}
"""pool.restrictions of a pool that has every feature (xapi: ocaml/xapi-types/features.ml)."""
_POOL_OPERATIONS = ("cluster_create", "designate_new_master", "ha_enable")
_POOL_OPERATIONS_BY_YEAR = (
    "configure_repositories",
    "sync_updates",
    "get_updates",
    "apply_updates",
    "tls_verification_enable",
    "cert_refresh",
    "exchange_certificates_on_join",
    "exchange_ca_certificates_on_join",
    "copy_primary_host_certs",
)
EDITIONS = ("free", "per-socket", "xendesktop", "standard-per-socket", "trial", "standard", "premium")
"""Licences that a host may have."""
ROLES = (
    ("pool-admin", "The Pool Administrator role has full access to all features and settings"),
    ("pool-operator", "The Pool Operator role manages host- and pool-wide resources"),
    ("vm-power-admin", "The VM Power Administrator role has full access to VM and template management"),
    ("vm-admin", "The VM Administrator role can manage VMs and templates"),
    ("vm-operator", "The VM Operator role can use VMs and interact with VM consoles"),
    ("read-only", "The Read-Only role can log in with basic read-only access"),
)
"""Roles that people are given; their permissions are in the data model."""
HOST_OPERATIONS = ("vm_migrate", "provision", "vm_resume", "evacuate", "vm_start")
CPU_FEATURES = ("features_pv", "features_hvm", "features_pv_host", "features_hvm_host")
"""Keys of ``cpu_info``: what VMs that start are offered, and what VMs that come with their memory are."""
BIOS_STRINGS = {
    "bios-vendor": "Xen",
    "bios-version": "",
    "system-manufacturer": "Xen",
    "system-product-name": "HVM domU",
    "system-version": "",
    "system-serial-number": "",
    "baseboard-manufacturer": "",
    "baseboard-product-name": "",
    "baseboard-version": "",
    "baseboard-serial-number": "",
    "baseboard-asset-tag": "",
    "baseboard-location-in-chassis": "",
    "enclosure-asset-tag": "",
    "hp-rombios": "",
    "oem-1": "Xen",
    "oem-2": "MS_VM_CERT/SHA1/bdbeb6e0a816d43fa6d3fe8aaef04c2bad9d3e3d",
}
"""Of a VM that was started without strings of its own (recorded)."""


def pool_operations(at: Release) -> list[str]:
    """pool.allowed_operations of an idle pool. Clients of releases with names know no others (xapi:
    ocaml/idl/datamodel_pool.ml ``operations``)."""
    return [*_POOL_OPERATIONS, *(_POOL_OPERATIONS_BY_YEAR if at >= FIRST_BY_YEAR else ())]


def software_version(toolstack: Toolstack, schema: tuple[int, int]) -> dict[str, str]:
    """host.software_version; ``schema`` is the database's."""
    short = ".".join(toolstack.xapi.split(".")[:2])
    return {
        "product_version": toolstack.product,
        "product_version_text": "8",
        "product_version_text_short": "8",
        "platform_name": "XCP",
        "platform_version": "3.3.0",
        "product_brand": "XenServer",
        "build_number": toolstack.xapi,
        "git_id": "0",
        "hostname": "localhost",
        "date": "20261122T07:48:38Z",
        "dbv": "0.0.1",
        "xapi": short,
        "xapi_build": toolstack.xapi,
        "xen": "4.17.0",
        "linux": "4.19.0+1",
        "xencenter_min": f"2.{toolstack.api_minor}",
        "xencenter_max": f"2.{toolstack.api_minor}",
        "network_backend": "bridge",
        "db_schema": "{}.{}".format(*schema),
    }
