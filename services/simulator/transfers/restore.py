"""VMs made from exported records (xapi: ocaml/xapi/import.ml)."""

from dataclasses import dataclass
from typing import Any

from services.simulator.calls.vm import destroy_record
from services.simulator.database.row import Row
from services.simulator.dispatch.arguments import Arguments
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, domains, vm_rules
from services.simulator.pool.pool import Pool
from services.simulator.transfers.gpus import MAPS_TO, RestoredGpus
from services.simulator.transfers.ova import Exported
from services.simulator.transfers.restored_disks import Disks

_SETS_OF_OTHERS = frozenset(
    {
        "VBDs",
        "VIFs",
        "VTPMs",
        "VUSBs",
        "VGPUs",
        "consoles",
        "crash_dumps",
        "snapshots",
        "children",
        "attached_PCIs",
    }
)
_DEVICE_MODEL = "qemu-upstream-compat"
_PRIORITIES = dict.fromkeys("0123", "restart")
"""What old releases numbered (xapi: ocaml/xapi/import.ml)."""


@dataclass(frozen=True)
class Wishes:
    """``restore``: the same VM again, not another like it. ``force``: even if that loses something."""

    restore: bool
    force: bool
    task: str


class Restore:
    """All VMs of one export. ``check`` first: it raises what would go wrong, and changes nothing."""

    def __init__(self, pool: Pool, objects: dict[str, Exported], disks: Disks, wishes: Wishes) -> None:
        self._pool = pool
        self._objects = objects
        self._disks = disks
        self._wishes = wishes
        self._arguments = Arguments(pool.model)
        self._gpus = RestoredGpus(pool, objects, disks.may_make_gpu_groups, keep_uuids=wishes.restore)
        self._made: dict[str, str] = {}

    def check(self) -> None:
        """Raises ``VM_BAD_POWER_STATE``, what forbids to destroy a VM that is replaced,
        ``VM_TO_IMPORT_IS_NOT_NEWER_VERSION``, ``DUPLICATE_MAC_SEED``, and what the disks and GPUs raise."""
        for vm in self._of("VM"):
            if self._wishes.restore:
                self._check_present(vm)
        for vbd in self._of("VBD"):
            vdi = self._object("VDI", vbd.record["VDI"])
            if vdi is not None and vbd.record["type"] != "CD":
                self._disks.check(vdi, self._object("SR", vdi.record["SR"]))
        self._gpus.check()
        for tpm in self._of("VTPM"):
            self._check_tpm(tpm)
        for vm in self._of("VM"):
            image = self._image(vm)
            if image is not None:
                self._disks.check(image, self._object("SR", image.record["SR"]))

    def apply(self) -> list[str]:
        """References of the VMs that were made; snapshots are left out when there is anything else."""
        for exported in self._of("VM"):
            self._make_vm(exported)
        for exported in self._of("VM"):
            self._link(exported)
        for vbd in self._of("VBD"):
            self._make_vbd(vbd)
        for vif in self._of("VIF"):
            self._make_vif(vif)
        self._gpus.make(self._made)
        for tpm in self._of("VTPM"):
            self._make_tpm(tpm)
        vms = [self._pool.db.row("VM", self._made[vm.id]) for vm in self._of("VM")]
        for vm in vms:
            allowed_operations.refresh_vm(self._pool.db, vm.ref)
        real = [vm.ref for vm in vms if not vm["is_a_snapshot"]]
        return real or [vm.ref for vm in vms]

    @property
    def made_vms(self) -> list[str]:
        """References of all VMs made so far."""
        return [self._made[vm.id] for vm in self._of("VM") if vm.id in self._made]

    def _of(self, cls: str) -> list[Exported]:
        return [item for item in self._objects.values() if item.cls == cls]

    def _object(self, cls: str, id_: str) -> Exported | None:
        """An unknown id counts as null: that is how xapi writes null next to snapshots."""
        item = self._objects.get(id_)
        return item if item is not None and item.cls == cls else None

    def _check_present(self, vm: Exported) -> None:
        db = self._pool.db
        present = db.tables["VM"].by_uuid(vm.record["uuid"])
        version = int(vm.record.get("version", "0"))
        if present is not None:
            if present["power_state"] != "Halted":
                raise XapiFailure("VM_BAD_POWER_STATE", present.ref, "halted", present["power_state"].lower())
            vm_rules.check(db, present, "destroy", self._wishes.task)
            if present["version"] >= version and not self._wishes.force:
                code = "VM_TO_IMPORT_IS_NOT_NEWER_VERSION"
                raise XapiFailure(code, present.ref, str(present["version"]), str(version))
        seed = vm.record["other_config"].get("mac_seed")
        uuids = {item.record["uuid"] for item in self._of("VM")}
        for other in db.rows("VM"):
            taken = other["other_config"].get("mac_seed") == seed and not other["is_a_snapshot"]
            if seed is not None and taken and other["uuid"] not in uuids:
                raise XapiFailure("DUPLICATE_MAC_SEED", seed)

    def _make_vm(self, vm: Exported) -> None:
        db = self._pool.db
        values = self._read("VM", vm.record)
        values = {name: value for name, value in values.items() if name not in _SETS_OF_OTHERS}
        seed = values["other_config"].get("mac_seed")
        if self._wishes.restore:
            present = db.tables["VM"].by_uuid(values["uuid"])
            if present is not None:
                destroy_record(
                    Call(self._pool, self._pool.coordinator, None, "", self._wishes.task), present.ref
                )
        else:
            values["uuid"] = self._pool.ids.new()
            seed = self._pool.ids.new()
        other_config = {"import_task": self._wishes.task, **values["other_config"]}
        if seed is not None:
            other_config["mac_seed"] = seed
        image = self._image(vm)
        found = image and self._disks.find(image, self._object("SR", image.record["SR"]))
        values |= {
            "power_state": "Suspended" if found else "Halted",
            "suspend_VDI": found or NULL_REF,
            "domid": -1,
            "allowed_operations": [],
            "current_operations": {},
            "blocked_operations": {},
            "blobs": {},
            "memory_target": values["memory_dynamic_max"],
            "version": values["version"] + 1 if self._wishes.restore else 0,
            "generation_id": self._generation(values),
            "metrics": domains.new_metrics(self._pool),
            "guest_metrics": self._make_guest_metrics(vm),
            "resident_on": NULL_REF,
            "affinity": self._host(vm.record["affinity"]),
            "snapshot_of": NULL_REF,
            "parent": NULL_REF,
            "appliance": NULL_REF,
            "protection_policy": NULL_REF,
            "ha_restart_priority": _PRIORITIES.get(
                values["ha_restart_priority"], values["ha_restart_priority"]
            ),
            "is_control_domain": False,
            "is_default_template": False,
            "other_config": other_config,
            "platform": {"device-model": _DEVICE_MODEL, **values["platform"]},
        }
        self._made[vm.id] = self._pool.create("VM", **values)

    def _generation(self, values: dict[str, Any]) -> str:
        """A template is not going to be started, so it keeps its own."""
        fresh = values["generation_id"] and not values["is_a_template"]
        return domains.generation_id(self._pool) if fresh else str(values["generation_id"])

    def _link(self, vm: Exported) -> None:
        """Snapshots and parents, among the VMs of this export."""
        for field in ("snapshot_of", "parent"):
            other = self._made.get(vm.record.get(field, NULL_REF))
            if other is not None:
                self._pool.db.set("VM", self._made[vm.id], field, other)

    def _make_guest_metrics(self, vm: Exported) -> str:
        metrics = self._object("VM_guest_metrics", vm.record["guest_metrics"])
        if metrics is None:
            return NULL_REF
        return self._pool.create("VM_guest_metrics", **self._fresh("VM_guest_metrics", metrics))

    def _make_vbd(self, vbd: Exported) -> None:
        vdi = self._object("VDI", vbd.record["VDI"])
        found: str | None = NULL_REF
        if vdi is not None:
            found = self._disks.find(vdi, self._object("SR", vdi.record["SR"]))
        empty = found in (None, NULL_REF)
        if empty and vbd.record["type"] != "CD":
            return
        values = self._kept("VBD", vbd)
        values |= {"VM": self._made[vbd.record["VM"]], "VDI": found or NULL_REF, "empty": empty}
        self._pool.create("VBD", **values, currently_attached=False)

    def _make_vif(self, vif: Exported) -> None:
        values = self._kept("VIF", vif)
        vm = self._pool.db.row("VM", self._made[vif.record["VM"]])
        if not self._wishes.restore:
            values["MAC"] = domains.mac_address(vm["other_config"].get("mac_seed", ""), values["device"])
        config = {key: value for key, value in values["other_config"].items() if key != MAPS_TO}
        values |= {"VM": vm.ref, "network": self._network(vif), "MAC_autogenerated": not self._wishes.restore}
        values |= {"other_config": config}
        self._pool.create("VIF", **values, currently_attached=False)

    def _check_tpm(self, tpm: Exported) -> None:
        """Its uuid is its identity: it comes back only where it is gone, with its VM replaced or absent."""
        if "VTPM" not in self._pool.model.classes:
            raise XapiFailure("IMPORT_ERROR_GENERIC", "this release has no virtual TPMs")
        present = self._pool.db.tables["VTPM"].by_uuid(tpm.record["vTPM'_uuid"])
        if not self._wishes.restore or present is None:
            return
        owners = {item.record["uuid"] for item in self._of("VM")}
        if self._pool.db.row("VM", present["VM"])["uuid"] not in owners:
            raise XapiFailure("IMPORT_ERROR_GENERIC", f"VTPM {present['uuid']} exists already")

    def _make_tpm(self, tpm: Exported) -> None:
        values = {name: tpm.record[f"vTPM'_{name}"] for name in ("is_unique", "is_protected")}
        if self._wishes.restore:
            values["uuid"] = tpm.record["vTPM'_uuid"]
        ref = self._pool.create("VTPM", VM=self._made[tpm.record["vTPM'_VM"]], **values)
        self._pool.tpm_contents[ref] = tpm.record["vTPM'_content"]

    def _kept(self, cls: str, item: Exported) -> dict[str, Any]:
        """A device's values; its uuid survives a restore."""
        values = self._read(cls, item.record)
        if not self._wishes.restore or self._pool.db.tables[cls].by_uuid(values["uuid"]) is not None:
            values["uuid"] = self._pool.ids.new()
        dropped = (
            "currently_attached",
            "allowed_operations",
            "current_operations",
            "VM",
            "VDI",
            "empty",
            "network",
        )
        return {name: value for name, value in values.items() if name not in dropped}

    def _network(self, vif: Exported) -> str:
        """As a migration maps it, by name, then by bridge, else a new one."""
        mapped = self._pool.db.find("network", vif.record["other_config"].get(MAPS_TO, ""))
        if mapped is not None:
            return mapped.ref
        network = self._object("network", vif.record["network"])
        if network is None:
            return NULL_REF
        rows = self._pool.db.rows("network")
        for field in ("name_label", "bridge"):
            match: Row | None = next((row for row in rows if row[field] == network.record[field]), None)
            if match is not None:
                return match.ref
        fresh = self._fresh("network", network)
        return self._pool.create("network", **fresh | {"VIFs": [], "PIFs": []})

    def _host(self, id_: str) -> str:
        """The host of the same uuid."""
        exported = self._object("host", id_)
        row = exported and self._pool.db.tables["host"].by_uuid(exported.record["uuid"])
        return row.ref if row else NULL_REF

    def _image(self, vm: Exported) -> Exported | None:
        """The memory of a suspended VM; one without counts as halted."""
        suspended = vm.record["power_state"] == "Suspended"
        return self._object("VDI", vm.record["suspend_VDI"]) if suspended else None

    def _fresh(self, cls: str, item: Exported) -> dict[str, Any]:
        return {name: value for name, value in self._read(cls, item.record).items() if name != "uuid"}

    def _read(self, cls: str, record: dict[str, Any]) -> dict[str, Any]:
        """Wire values as values of the data model; fields of other releases are ignored."""
        fields = self._pool.model.classes[cls].fields
        return {
            name: self._arguments.read(field.type, record[name]) if name in record else field.default
            for name, field in fields.items()
        }
