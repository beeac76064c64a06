"""Which graphics processor takes which virtual one (xapi: ocaml/xapi/xapi_pgpu_helpers.ml,
xapi_gpu_group.ml, vgpuops.ml).
"""

from collections.abc import Iterable
from typing import Literal

from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF

_GRAVITY = (
    "VGPU_TYPE_NOT_SUPPORTED",
    "VGPU_TYPE_NOT_ENABLED",
    "VGPU_TYPE_NOT_COMPATIBLE_WITH_RUNNING_TYPE",
    "PGPU_INSUFFICIENT_CAPACITY_FOR_VGPU",
)
"""What is told of a group when each of its processors refuses for a reason of its own: the last of these."""
Fields = Literal["supported", "enabled"]
_FIELDS: tuple[Fields, ...] = ("supported", "enabled")


def set_types(db: Database, pgpu: str, field: Fields, types: list[str]) -> None:
    """Which types a processor offers; its group offers what any of its processors does."""
    db.set("PGPU", pgpu, f"{field}_VGPU_types", types)
    for row in db.rows("VGPU_type"):
        others = [ref for ref in row[f"{field}_on_PGPUs"] if ref != pgpu]
        db.set("VGPU_type", row.ref, f"{field}_on_PGPUs", [pgpu, *others] if row.ref in types else others)
    update_group(db, db.row("PGPU", pgpu)["GPU_group"])


def forget(db: Database, pgpu: str) -> None:
    """A processor goes with its host; its group stays."""
    for field in _FIELDS:
        set_types(db, pgpu, field, [])
    db.delete("PGPU", pgpu)


def update_group(db: Database, group: str) -> None:
    """After one of its processors changed, came or went."""
    row = db.find("GPU_group", group)
    if row is None:
        return
    for field in _FIELDS:
        pgpus = [db.row("PGPU", ref) for ref in row["PGPUs"]]
        types = list(dict.fromkeys(type_ for pgpu in pgpus for type_ in pgpu[f"{field}_VGPU_types"]))
        db.set("GPU_group", group, f"{field}_VGPU_types", types)
        for kind in db.rows("VGPU_type"):
            others = [ref for ref in kind[f"{field}_on_GPU_groups"] if ref != group]
            wanted = [group, *others] if kind.ref in types else others
            db.set("VGPU_type", kind.ref, f"{field}_on_GPU_groups", wanted)


def capacity(db: Database, pgpu: str, type_: str) -> int:
    """How many more virtual GPUs of the type a processor takes. Raises why none."""
    row = db.row("PGPU", pgpu)
    for code, field in (
        ("VGPU_TYPE_NOT_SUPPORTED", "supported_VGPU_types"),
        ("VGPU_TYPE_NOT_ENABLED", "enabled_VGPU_types"),
    ):
        if type_ not in row[field]:
            raise XapiFailure(code, type_, *row[field])
    residents = [db.row("VGPU", ref) for ref in row["resident_VGPUs"]]
    if residents and residents[0]["type"] != type_:
        code = "VGPU_TYPE_NOT_COMPATIBLE_WITH_RUNNING_TYPE"
        raise XapiFailure(code, pgpu, type_, residents[0]["type"])
    left = row["supported_VGPU_max_capacities"].get(type_, 0) - len(residents)
    if left <= 0:
        raise XapiFailure("PGPU_INSUFFICIENT_CAPACITY_FOR_VGPU", pgpu, type_)
    return int(left)


def group_capacity(db: Database, group: str, type_: str) -> int:
    """Of all processors of a group. Raises why none, or ``GPU_GROUP_CONTAINS_NO_PGPUS``."""
    total, refusals = 0, []
    for pgpu in db.row("GPU_group", group)["PGPUs"]:
        try:
            total += capacity(db, pgpu, type_)
        except XapiFailure as failure:
            refusals.append(failure)
    if total:
        return total
    if not refusals:
        raise XapiFailure("GPU_GROUP_CONTAINS_NO_PGPUS", group)
    raise max(refusals, key=lambda failure: _GRAVITY.index(failure.code))


def check(db: Database, host: str, vm: Row) -> None:
    """Raises ``VM_REQUIRES_GPU`` when a host has no processor of a group that the VM needs,
    ``VM_REQUIRES_VGPU`` when it has and none takes the type."""
    for vgpu in of_vm(db, vm):
        pgpus = [db.row("PGPU", ref) for ref in db.row("GPU_group", vgpu["GPU_group"])["PGPUs"]]
        here = [pgpu for pgpu in pgpus if pgpu["host"] == host]
        if not here:
            raise XapiFailure("VM_REQUIRES_GPU", vm.ref, vgpu["GPU_group"])
        if not any(_takes(db, pgpu, vgpu) for pgpu in here):
            raise XapiFailure("VM_REQUIRES_VGPU", vm.ref, vgpu["GPU_group"], vgpu["type"])


def fits(db: Database, host: str, vm: Row) -> bool:
    """Whether ``check`` has nothing to say."""
    try:
        check(db, host, vm)
    except XapiFailure:
        return False
    return True


def place(db: Database, host: str, vm: Row) -> None:
    """Each virtual GPU of a VM that runs on ``host`` gets its processor."""
    for vgpu in of_vm(db, vm):
        group = db.row("GPU_group", vgpu["GPU_group"])
        pgpus = [db.row("PGPU", ref) for ref in group["PGPUs"]]
        able = [pgpu for pgpu in pgpus if pgpu["host"] == host and _takes(db, pgpu, vgpu)]
        depth_first = group["allocation_algorithm"] == "depth_first"
        able.sort(key=lambda pgpu: capacity(db, pgpu.ref, vgpu["type"]), reverse=not depth_first)
        chosen = able[0].ref if able else NULL_REF
        db.update("VGPU", vgpu.ref, currently_attached=True, resident_on=chosen)


def move(db: Database, host: str, vm: Row) -> None:
    """It runs on another host now."""
    release(db, vm)
    place(db, host, vm)


def release(db: Database, vm: Row) -> None:
    """It does not run any more, here at least."""
    for vgpu in of_vm(db, vm):
        db.update("VGPU", vgpu.ref, currently_attached=False, resident_on=NULL_REF)


def of_vm(db: Database, vm: Row) -> list[Row]:
    return [db.row("VGPU", ref) for ref in vm["VGPUs"]]


def movable(db: Database, vgpus: Iterable[Row]) -> bool:
    """Whether a VM that runs with them may be suspended or migrated: with the licence, of NVIDIA's that are
    shared, on processors that tell what they are compatible with."""
    licensed = db.only("pool")["restrictions"].get("restrict_vgpu_migration") == "false"
    return licensed and all(_is_movable(db, vgpu) for vgpu in vgpus)


def _is_movable(db: Database, vgpu: Row) -> bool:
    pgpu = db.find("PGPU", vgpu["resident_on"])
    nvidia = db.row("VGPU_type", vgpu["type"])["implementation"] == "nvidia"
    return nvidia and pgpu is not None and bool(pgpu["compatibility_metadata"])


def _takes(db: Database, pgpu: Row, vgpu: Row) -> bool:
    if vgpu["resident_on"] == pgpu.ref:
        return True
    try:
        return capacity(db, pgpu.ref, vgpu["type"]) > 0
    except XapiFailure:
        return False
