"""References that the database keeps in step: a set on one side mirrors a reference on the other.

Source: xapi, ocaml/idl/datamodel.ml ``all_relations``.
"""

RELATIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("task", "subtask_of"): ("task", "subtasks"),
    ("PIF", "network"): ("network", "PIFs"),
    ("PIF", "host"): ("host", "PIFs"),
    ("VIF", "network"): ("network", "VIFs"),
    ("VIF", "VM"): ("VM", "VIFs"),
    ("VBD", "VM"): ("VM", "VBDs"),
    ("VBD", "VDI"): ("VDI", "VBDs"),
    ("VDI", "SR"): ("SR", "VDIs"),
    ("PBD", "host"): ("host", "PBDs"),
    ("PBD", "SR"): ("SR", "PBDs"),
    ("console", "VM"): ("VM", "consoles"),
    ("crashdump", "VM"): ("VM", "crash_dumps"),
    ("crashdump", "VDI"): ("VDI", "crash_dumps"),
    ("VM", "resident_on"): ("host", "resident_VMs"),
    ("VM", "snapshot_of"): ("VM", "snapshots"),
    ("VM", "parent"): ("VM", "children"),
    ("VM", "appliance"): ("VM_appliance", "VMs"),
    ("VM", "snapshot_schedule"): ("VMSS", "VMs"),
    ("VDI", "snapshot_of"): ("VDI", "snapshots"),
    ("host_cpu", "host"): ("host", "host_CPUs"),
    ("host_crashdump", "host"): ("host", "crashdumps"),
    ("Certificate", "host"): ("host", "certificates"),
    ("VTPM", "VM"): ("VM", "VTPMs"),
    ("VUSB", "VM"): ("VM", "VUSBs"),
    ("PVS_server", "site"): ("PVS_site", "servers"),
    ("PVS_proxy", "site"): ("PVS_site", "proxies"),
    ("PVS_cache_storage", "site"): ("PVS_site", "cache_storage"),
    ("VUSB", "USB_group"): ("USB_group", "VUSBs"),
    ("PUSB", "USB_group"): ("USB_group", "PUSBs"),
    ("tunnel", "access_PIF"): ("PIF", "tunnel_access_PIF_of"),
    ("tunnel", "transport_PIF"): ("PIF", "tunnel_transport_PIF_of"),
    ("VGPU", "VM"): ("VM", "VGPUs"),
    ("VGPU", "GPU_group"): ("GPU_group", "VGPUs"),
    ("VGPU", "type"): ("VGPU_type", "VGPUs"),
    ("VGPU", "resident_on"): ("PGPU", "resident_VGPUs"),
    ("PGPU", "GPU_group"): ("GPU_group", "PGPUs"),
    ("PGPU", "host"): ("host", "PGPUs"),
    ("PCI", "host"): ("host", "PCIs"),
    ("PUSB", "host"): ("host", "PUSBs"),
    ("PIF", "bond_slave_of"): ("Bond", "slaves"),
    ("Bond", "master"): ("PIF", "bond_master_of"),
    ("VLAN", "tagged_PIF"): ("PIF", "VLAN_slave_of"),
    ("network_sriov", "physical_PIF"): ("PIF", "sriov_physical_PIF_of"),
    ("network_sriov", "logical_PIF"): ("PIF", "sriov_logical_PIF_of"),
    ("Cluster_host", "cluster"): ("Cluster", "cluster_hosts"),
    ("host_patch", "host"): ("host", "patches"),
    ("host_patch", "pool_patch"): ("pool_patch", "host_patches"),
    ("Feature", "host"): ("host", "features"),
    ("Driver_variant", "driver"): ("Host_driver", "variants"),
    ("VM", "protection_policy"): ("VMPP", "VMs"),
    ("VDI", "metadata_of_pool"): ("pool", "metadata_VDIs"),
    ("SR", "introduced_by"): ("DR_task", "introduced_SRs"),
}
"""(class, reference field) to (class, set field): all that are not sets on both sides, but for a task's
session, which no record shows (``pool/tasks.py``).
"""

MIRRORED = frozenset(RELATIONS.values())
"""Set fields that only the database writes."""

REFERENCES: dict[str, tuple[str, ...]] = {
    cls: tuple(field for owner, field in RELATIONS if owner == cls) for cls, _ in RELATIONS
}
"""By class, its reference fields that are mirrored."""
