"""Virtual GPUs of VMs that are imported (xapi: ocaml/xapi/import.ml ``GPUGroup``, ``VGPUType``, ``VGPU``)."""

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure, ocaml_failure
from services.simulator.pool.pool import Pool
from services.simulator.transfers.ova import Exported

MAPS_TO = "maps_to"
"""What a migration from another pool says that its disks, networks and GPU groups are here (xapi:
constants.ml)."""
_TYPE_FIELDS = ("vendor_name", "model_name", "implementation", "identifier")
_TYPE_NUMBERS = ("framebuffer_size", "max_heads", "max_resolution_x", "max_resolution_y")


class RestoredGpus:
    """A group is found by the devices in it, a type by its identifier or its names; a type that is not found
    is made, although no processor offers it."""

    def __init__(
        self, pool: Pool, objects: dict[str, Exported], may_make_groups: bool, *, keep_uuids: bool
    ) -> None:
        self._pool = pool
        self._objects = objects
        self._may_make_groups = may_make_groups
        self._keep_uuids = keep_uuids

    def check(self) -> None:
        """Raises ``INTERNAL_ERROR`` for a group that is missing, ``FEATURE_RESTRICTED``."""
        for group in self._of("GPU_group"):
            if self._found_group(group) is None and not self._may_make_groups:
                types = ",".join(group.record["GPU_types"])
                raise ocaml_failure(f"Unable to find GPU group with matching GPU_types = '[{types}]'")
        restrictions = self._pool.db.only("pool")["restrictions"]
        if self._of("VGPU") and restrictions.get("restrict_gpu") == "true":
            raise XapiFailure("FEATURE_RESTRICTED")

    def make(self, vms: dict[str, str]) -> None:
        """``vms`` are the references of what was made, by the ids in the export."""
        for vgpu in self._of("VGPU"):
            record = vgpu.record
            config = {key: value for key, value in record["other_config"].items() if key != MAPS_TO}
            values = {"device": record["device"], "other_config": config}
            if self._keep_uuids and self._pool.db.tables["VGPU"].by_uuid(record["uuid"]) is None:
                values["uuid"] = record["uuid"]
            mapped = self._pool.db.find("GPU_group", record["other_config"].get(MAPS_TO, ""))
            group = mapped.ref if mapped is not None else self._group(self._objects[record["GPU_group"]])
            references = {"GPU_group": group, "type": self._type(self._objects[record["type"]])}
            self._pool.create("VGPU", VM=vms[record["VM"]], **values, **references)

    def _of(self, cls: str) -> list[Exported]:
        return [item for item in self._objects.values() if item.cls == cls]

    def _found_group(self, group: Exported) -> Row | None:
        rows = self._pool.db.rows("GPU_group")
        return next((row for row in rows if row["GPU_types"] == group.record["GPU_types"]), None)

    def _group(self, group: Exported) -> str:
        found = self._found_group(group)
        if found is not None:
            return found.ref
        kept = {field: group.record[field] for field in ("name_label", "name_description", "GPU_types")}
        return self._pool.create("GPU_group", **kept)

    def _type(self, type_: Exported) -> str:
        record, rows = type_.record, self._pool.db.rows("VGPU_type")
        names = ("vendor_name", "model_name")
        same = [row for row in rows if row["identifier"] == record["identifier"]]
        same += [row for row in rows if all(row[name] == record[name] for name in names)]
        if same:
            return same[0].ref
        numbers = {field: int(record[field]) for field in _TYPE_NUMBERS}
        return self._pool.create("VGPU_type", **{field: record[field] for field in _TYPE_FIELDS}, **numbers)
