"""``ova.xml``: VMs and what they refer to, as one XML-RPC value (xapi: ocaml/xapi/export.ml)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool.pool import Pool
from services.simulator.wire import xmlrpc

CLASSES = (
    "host",
    "VM",
    "VM_guest_metrics",
    "VBD",
    "VIF",
    "network",
    "VDI",
    "SR",
    "VGPU_type",
    "VGPU",
    "GPU_group",
    "VTPM",
)
"""In this order; references to anything else become null."""
EXPORT_VERSION = 2
_OF_THE_POOL = {"network": "PIFs", "SR": "PBDs", "GPU_group": "PGPUs"}
"""Sets that mean something only in the pool of origin."""
_BLANKED: dict[str, Any] = {"allowed_operations": [], "current_operations": {}}


@dataclass(frozen=True)
class Document:
    """``ids`` are the references inside, by reference of the pool."""

    text: bytes
    ids: dict[str, str]


@dataclass(frozen=True)
class Scope:
    """What goes along with a VM. ``power_state``: as it is, with the memory of a suspended one, instead of
    halted. ``without`` are classes of devices (xapi: importexport.ml ``Devicetype``).
    """

    snapshots: bool = False
    power_state: bool = False
    disk_parents: bool = False
    without: frozenset[str] = frozenset()


def write(pool: Pool, vms: Iterable[Row], scope: Scope) -> Document:
    """Describe ``vms``. The contents of virtual TPMs are in the text: it is key material."""
    db = pool.db
    asked = list(vms)
    alone = {vm.ref for vm in asked}
    rows = _collect(db, asked, scope)
    ids = {row.ref: f"Ref:{number}" for number, row in enumerate(rows)}
    if scope.snapshots and any(row["is_a_snapshot"] for row in rows if row.cls == "VM"):
        ids[NULL_REF] = f"Ref:{len(rows)}"
    objects = [
        {"class": row.cls, "id": ids[row.ref], "snapshot": _record(pool, row, ids, alone, scope)}
        for cls in CLASSES
        for row in rows
        if row.cls == cls
    ]
    version = db.row("host", db.only("pool")["master"])["software_version"]
    major, _, minor = version["xapi"].partition(".")
    about = {
        name: version[name]
        for name in ("hostname", "date", "product_version", "product_brand", "build_number")
    }
    about |= {"xapi_major": int(major), "xapi_minor": int(minor), "export_vsn": EXPORT_VERSION}
    return Document(xmlrpc.encode({"version": about, "objects": objects}).encode(), ids)


def _collect(db: Database, vms: Iterable[Row], scope: Scope) -> list[Row]:
    found: dict[str, Row] = {}

    def add(cls: str, ref: str) -> Row | None:
        row = db.find(cls, ref) if cls not in scope.without else None
        if row is not None:
            found.setdefault(ref, row)
        return row

    def add_disk(ref: str) -> None:
        vdi = add("VDI", ref)
        if vdi is not None:
            add("SR", vdi["SR"])
            parent = db.tables["VDI"].by_uuid(vdi["sm_config"].get("vhd-parent", ""))
            if scope.disk_parents and parent is not None and parent.ref not in found:
                add_disk(parent.ref)

    for vm in vms:
        for each in (vm, *(db.row("VM", ref) for ref in vm["snapshots"] if scope.snapshots)):
            add("VM", each.ref)
            add("VM_guest_metrics", each["guest_metrics"])
            for ref in each["VBDs"]:
                vbd = add("VBD", ref)
                if vbd is not None:
                    add_disk(vbd["VDI"])
            for ref in each["VIFs"]:
                vif = add("VIF", ref)
                if vif is not None:
                    add("network", vif["network"])
            for ref in each["VGPUs"]:
                vgpu = add("VGPU", ref)
                if vgpu is not None:
                    add("VGPU_type", vgpu["type"])
                    add("GPU_group", vgpu["GPU_group"])
            for ref in each["VTPMs"]:
                add("VTPM", ref)
            if scope.power_state and each["power_state"] == "Suspended":
                add_disk(each["suspend_VDI"])
            for host in (each["resident_on"], each["affinity"]):
                add("host", host)
    return list(found.values())


def _record(pool: Pool, row: Row, ids: dict[str, str], alone: set[str], scope: Scope) -> dict[str, Any]:
    """``alone`` are the VMs that were asked for: a snapshot among them stops being one."""
    if row.cls == "VTPM":
        return _tpm_record(pool, row, ids)
    record = {name: _translate(value, ids) for name, value in row.items()} | _blanked(row)
    if row.cls == "VM" and row.ref in alone and row["is_a_snapshot"]:
        record |= {"is_a_snapshot": False, "snapshot_of": NULL_REF}
    if row.cls == "VM":
        record |= {"metrics": NULL_REF, "consoles": [], "crash_dumps": [], "appliance": NULL_REF}
        if not scope.power_state:
            record |= {"power_state": "Halted", "suspend_VDI": NULL_REF}
    if row.cls in _OF_THE_POOL:
        record[_OF_THE_POOL[row.cls]] = []
    if row.cls == "host":
        record |= {name: type(value)() for name, value in record.items() if isinstance(value, (list, dict))}
    return record


def _tpm_record(pool: Pool, row: Row, ids: dict[str, str]) -> dict[str, Any]:
    """In a shape of its own (xapi: ocaml/xapi/importexport.ml ``vtpm'``)."""
    return {
        "vTPM'_VM": ids.get(row["VM"], NULL_REF),
        "vTPM'_uuid": row["uuid"],
        "vTPM'_is_unique": row["is_unique"],
        "vTPM'_is_protected": row["is_protected"],
        "vTPM'_content": pool.tpm_contents.get(row.ref, ""),
    }


def _blanked(row: Row) -> dict[str, Any]:
    return {name: value for name, value in _BLANKED.items() if name in row}


def _translate(value: Any, ids: dict[str, str]) -> Any:
    """References to exported objects by their id, to others unchanged in sets, null when alone."""
    if isinstance(value, str) and value.startswith("OpaqueRef:"):
        return ids.get(value, NULL_REF)
    if isinstance(value, list):
        return [ids.get(item, item) if isinstance(item, str) else item for item in value]
    return value


@dataclass(frozen=True)
class Exported:
    """One object as it was written; ``record`` holds wire values."""

    cls: str
    id: str
    record: dict[str, Any]


def read(text: bytes, toolstack: str) -> dict[str, Exported]:
    """The objects by their id, for a ``toolstack`` of that version (``23.1.0``).

    Raises ``IMPORT_ERROR`` for text of another form, ``IMPORT_INCOMPATIBLE_VERSION`` for what a later version
    wrote (xapi: ocaml/xapi/importexport.ml ``assert_compatible``).
    """
    try:
        document = xmlrpc.decode_value(text)
        writer = int(document["version"]["xapi_major"]), int(document["version"]["xapi_minor"])
        objects = {
            item["id"]: Exported(item["class"], item["id"], item["snapshot"]) for item in document["objects"]
        }
    except (xmlrpc.MalformedCall, KeyError, TypeError, ValueError) as error:
        raise XapiFailure("IMPORT_ERROR", f"INTERNAL_ERROR: [ {error!r} ]") from error
    if writer > _major_and_minor(toolstack):
        raise XapiFailure("IMPORT_INCOMPATIBLE_VERSION")
    return objects


def _major_and_minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)
