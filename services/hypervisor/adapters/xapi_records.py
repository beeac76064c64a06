"""The pool's records as events tell them, and the picture made of them.

Only what an event touched is made anew: a batch about one disk of one VM costs one VM, not the pool.
"""

from collections import defaultdict
from typing import Any

from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_guests import (
    guest_facts,
    memory_obstacle,
    quiesce_obstacle,
    shutdown_obstacle,
)
from services.hypervisor.adapters.xapi_migrations import is_migrating
from services.hypervisor.domain.pool import Host, Picture
from services.hypervisor.domain.vm import Disk, NetworkInterface, PowerState, Vm

CLASSES = (
    "pool",
    "host",
    "host_metrics",
    "VM",
    "VBD",
    "VDI",
    "VIF",
    "SR",
    "network",
    "VM_guest_metrics",
    "Certificate",
)
"""What is subscribed to. Nothing here changes by the second (VM_metrics would)."""

_EVERYTHING = frozenset({"pool", "host", "sr", "network"})
"""Classes whose changes may show in any VM: names."""

_STORAGE = frozenset({"vdi", "sr"})

Record = dict[str, Any]


class Records:
    """Tables by lower-case class and reference."""

    def __init__(self, pool_id: str) -> None:
        self._pool_id = pool_id
        self._tables: dict[str, dict[str, Record]] = {name.lower(): {} for name in CLASSES}
        self._vms: dict[str, Vm] = {}
        self._touched: set[str] = set()
        self._all_touched = True
        self._storage_changes = 0

    def apply(self, event: Record) -> None:
        """One event of event.from; the deletion of what is not known is nothing."""
        name, ref = str(event["class"]).lower(), str(event["ref"])
        table = self._tables.get(name)
        if table is None:
            return
        before = table.get(ref)
        self._touch(name, ref, before)
        self._storage_changes += name in _STORAGE
        if event["operation"] == "del":
            table.pop(ref, None)
            return
        table[ref] = event["snapshot"]
        self._touch(name, ref, table[ref])
        if name == "vm" and before is not None:
            self._storage_changes += is_migrating(before) and not is_migrating(table[ref])

    def counts(self) -> dict[str, int]:
        """Records per lower-case class, to compare with valid_ref_counts."""
        return {name: len(table) for name, table in self._tables.items()}

    def refs(self, name: str) -> dict[str, Record]:
        """A table."""
        return self._tables[name]

    def picture(self) -> Picture | None:
        """The pool as it is now; None until the pool's own record is known."""
        pool = next(iter(self._tables["pool"].values()), None)
        if pool is None:
            return None
        self._refresh_vms()
        hosts = self._tables["host"]
        coordinator = hosts.get(pool["master"])
        return Picture(
            display_name=pool["name_label"] or (coordinator or {}).get("name_label", ""),
            product=_product(coordinator),
            coordinator=coordinator["uuid"] if coordinator else "",
            hosts=tuple(sorted(map(self._host, hosts.values()), key=lambda h: (h.display_name, h.host_id))),
            vms=dict(self._vms),
            storage_changes=self._storage_changes,
        )

    def _touch(self, name: str, ref: str, record: Record | None) -> None:
        if name in _EVERYTHING:
            self._all_touched = True
        elif name == "vm":
            self._touched.add(ref)
        elif record is not None and name in ("vbd", "vif"):
            self._touched.add(record["VM"])
        elif record is not None and name == "vdi":
            vbds = self._tables["vbd"]
            self._touched.update(vbds[vbd]["VM"] for vbd in record["VBDs"] if vbd in vbds)
        elif name == "vm_guest_metrics":
            self._touched.update(
                vm for vm, each in self._tables["vm"].items() if each["guest_metrics"] == ref
            )

    def _refresh_vms(self) -> None:
        table = self._tables["vm"]
        if self._all_touched:
            made = {vm.vm_id: vm for record in table.values() if (vm := self._vm(record)) is not None}
            self._vms = {
                vm_id: before if (before := self._vms.get(vm_id)) == vm else vm for vm_id, vm in made.items()
            }
        else:
            touched = [table[ref] for ref in self._touched if ref in table]
            alive = {record["uuid"] for record in table.values()}
            for gone in self._vms.keys() - alive:
                del self._vms[gone]
            for record in touched:
                vm = self._vm(record)
                if vm is None:
                    self._vms.pop(record["uuid"], None)
                elif self._vms.get(vm.vm_id) != vm:
                    self._vms[vm.vm_id] = vm
        self._touched.clear()
        self._all_touched = False

    def _host(self, record: Record) -> Host:
        metrics = self._tables["host_metrics"].get(record["metrics"])
        return Host(
            host_id=record["uuid"],
            display_name=record["name_label"],
            address=record["address"],
            live=bool(metrics and metrics["live"]),
            fingerprint=self._fingerprint(record),
        )

    def _fingerprint(self, host: Record) -> str:
        """Releases before 8.2 know no certificates; later ones list those of other purposes, too."""
        certificates = self._tables["certificate"]
        mine = [certificates[ref] for ref in host.get("certificates", ()) if ref in certificates]
        return ",".join(sorted(each["fingerprint"] for each in mine if each.get("type", "host") == "host"))

    def _vm(self, record: Record) -> Vm | None:
        if not protectable(record):
            return None
        host = self._tables["host"].get(record["resident_on"], {})
        metrics = self._tables["vm_guest_metrics"].get(record["guest_metrics"], {})
        return Vm(
            pool_id=self._pool_id,
            vm_id=record["uuid"],
            display_name=record["name_label"],
            description=record["name_description"],
            power_state=PowerState(record["power_state"].upper()),
            host_id=host.get("uuid", ""),
            host_display_name=host.get("name_label", ""),
            disks=self._disks(record),
            network_interfaces=self._interfaces(record),
            tags=tuple(sorted(record["tags"])),
            memory_bytes=int(record["memory_static_max"]),
            vcpus=int(record["VCPUs_max"]),
            guest_os=metrics.get("os_version", {}).get("name", ""),
            shutdown_obstacle=shutdown_obstacle(record, metrics),
            quiesce_obstacle=quiesce_obstacle(record),
            memory_obstacle=memory_obstacle(record, metrics, self._restrictions()),
            boot_parameters=_boot_parameters(record),
            guest=guest_facts(record, metrics),
            template=bool(record["is_a_template"]),
        )

    def _restrictions(self) -> dict[str, str]:
        return next((pool["restrictions"] for pool in self._tables["pool"].values()), {})

    def _disks(self, vm: Record) -> tuple[Disk, ...]:
        disks = []
        for ref in vm["VBDs"]:
            vbd = self._tables["vbd"].get(ref)
            vdi = self._tables["vdi"].get(vbd["VDI"]) if vbd and vbd["type"] == "Disk" else None
            if vbd is None or vdi is None:
                continue
            sr = self._tables["sr"].get(vdi["SR"], defaultdict(str))
            disks.append(
                Disk(
                    disk_id=vdi["uuid"],
                    device=vbd["userdevice"],
                    display_name=vdi["name_label"],
                    size_bytes=int(vdi["virtual_size"]),
                    sr_id=sr["uuid"],
                    sr_display_name=sr["name_label"],
                    change_tracking=bool(vdi["cbt_enabled"]),
                )
            )
        return tuple(sorted(disks, key=lambda disk: device_order(disk.device)))

    def _interfaces(self, vm: Record) -> tuple[NetworkInterface, ...]:
        interfaces = []
        for ref in vm["VIFs"]:
            vif = self._tables["vif"].get(ref)
            if vif is None:
                continue
            network = self._tables["network"].get(vif["network"], defaultdict(str))
            interfaces.append(
                NetworkInterface(
                    device=vif["device"],
                    mac=vif["MAC"],
                    network_id=network["uuid"],
                    network_display_name=network["name_label"],
                )
            )
        return tuple(sorted(interfaces, key=lambda each: device_order(each.device)))


def protectable(vm: Record) -> bool:
    """Whether a VM record is a VM or template of somebody's, and not a default template, a snapshot, a
    control domain, or made by us to snapshot a template's disks."""
    default = vm["is_a_template"] and is_default_template(vm)
    return not (default or vm["is_a_snapshot"] or vm["is_control_domain"] or xapi_tags.holder_of(vm))


def is_default_template(vm: Record) -> bool:
    """Whether it came with the pool; releases before 7.2 say so in other_config (create_templates.ml)."""
    told = vm.get("is_default_template", False)
    return bool(told) or vm["other_config"].get("default_template") == "true"


def device_order(device: str) -> tuple[int, str]:
    """ "2" before "10"; names that are no numbers last."""
    return (int(device), device) if device.isdecimal() else (1 << 30, device)


def _product(host: Record | None) -> str:
    version = host["software_version"] if host else {}
    return f"{version.get('product_brand', '')} {version.get('product_version', '')}".strip()


_BOOT_FIELDS = (
    "HVM_boot_policy",
    "PV_args",
    "PV_bootloader",
    "PV_bootloader_args",
    "PV_kernel",
    "PV_legacy_args",
    "PV_ramdisk",
    "domain_type",
)
_BOOT_MAPS = ("HVM_boot_params", "bios_strings", "platform")


def _boot_parameters(vm: Record) -> tuple[tuple[str, str], ...]:
    """How a VM boots, in the pool's words; of its NVRAM only whether there is any."""
    found = {name: str(vm.get(name) or "") for name in _BOOT_FIELDS}
    for field in _BOOT_MAPS:
        found |= {f"{field}/{key}": str(value) for key, value in (vm.get(field) or {}).items()}
    if vm.get("NVRAM"):
        found["NVRAM"] = "present"
    return tuple(sorted((name, value) for name, value in found.items() if value))
