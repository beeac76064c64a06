"""Which graphics processor takes which virtual one (xapi: ocaml/xapi/xapi_pgpu_helpers.ml,
xapi_gpu_group.ml, vgpuops.ml).
"""

from collections.abc import Iterable, Mapping, Sequence
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
_PASSED_THROUGH = frozenset({"passthrough", "mxgpu"})
"""Implementations that give a VM a device of its own."""
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


def allows_several(db: Database) -> bool:
    """Whether a VM may have more than one GPU: since 8.1, when their types were told to get on."""
    return "compatible_types_in_vm" in db.model.classes["VGPU_type"].fields


def capacity(db: Database, pgpu: str, type_: str, planned: Sequence[str] = ()) -> int:
    """How many more virtual GPUs of the type a processor takes, beside those of the types ``planned``.

    Raises why none.
    """
    row = db.row("PGPU", pgpu)
    for code, field in (
        ("VGPU_TYPE_NOT_SUPPORTED", "supported_VGPU_types"),
        ("VGPU_TYPE_NOT_ENABLED", "enabled_VGPU_types"),
    ):
        if type_ not in row[field]:
            raise XapiFailure(code, type_, *row[field])
    residents = [*(db.row("VGPU", ref)["type"] for ref in row["resident_VGPUs"]), *planned]
    if residents and residents[0] != type_:
        raise XapiFailure("VGPU_TYPE_NOT_COMPATIBLE_WITH_RUNNING_TYPE", pgpu, type_, residents[0])
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


def check_iommu(db: Database, host: str, vm: Row) -> None:
    """Whether a host can give devices to a VM that needs them. Raises ``VM_REQUIRES_IOMMU`` (xapi:
    xapi_vm_helpers.ml ``assert_host_has_iommu``, xapi_vgpu_type.ml ``requires_passthrough``).
    """
    kinds = {db.row("VGPU_type", vgpu["type"])["implementation"] for vgpu in of_vm(db, vm)}
    if kinds & _PASSED_THROUGH and db.row("host", host)["chipset_info"].get("iommu") != "true":
        raise XapiFailure("VM_REQUIRES_IOMMU", host)


def check(db: Database, host: str, vm: Row) -> None:
    """Whether the processors of a host take all GPUs of a VM, one after another (xapi: xapi_vm_helpers.ml
    ``assert_gpus_available``, vgpuops.ml ``allocate_vgpu_to_gpu``).

    Raises ``VM_REQUIRES_GPU`` for one that needs a whole processor, ``VM_REQUIRES_VGPU`` for another; the
    former for both up to release 8.0.
    """
    planned: dict[str, str] = {}
    for vgpu in of_vm(db, vm):
        able = _able(db, host, vgpu, planned)
        if not able:
            raise _refusal(db, vm, vgpu)
        planned[vgpu.ref] = able[0]


def _refusal(db: Database, vm: Row, vgpu: Row) -> XapiFailure:
    whole = db.row("VGPU_type", vgpu["type"])["implementation"] == "passthrough"
    if whole or not allows_several(db):
        return XapiFailure("VM_REQUIRES_GPU", vm.ref, vgpu["GPU_group"])
    return XapiFailure("VM_REQUIRES_VGPU", vm.ref, vgpu["GPU_group"], vgpu["type"])


def check_chosen(db: Database, vm: Row, groups: Mapping[str, str]) -> None:
    """Groups that somebody names for virtual GPUs of a VM that runs; within a pool they keep those they have.
    Raises ``HANDLE_INVALID``, ``VM_REQUIRES_GPU`` for NVIDIA's in a group without processors (xapi:
    ``assert_destination_has_pgpu_compatible_with_vm``).
    """
    for vgpu, group in groups.items():
        if is_shared(db, db.row("VGPU", vgpu)) and not db.row("GPU_group", group)["PGPUs"]:
            raise XapiFailure("VM_REQUIRES_GPU", vm.ref, group)


def is_shared(db: Database, vgpu: Row) -> bool:
    """NVIDIA's way of sharing, which alone can move while it is in use."""
    return bool(db.row("VGPU_type", vgpu["type"])["implementation"] == "nvidia")


def fits(db: Database, host: str, vm: Row) -> bool:
    """Whether ``check_iommu`` and ``check`` have nothing to say."""
    try:
        check_iommu(db, host, vm)
        check(db, host, vm)
    except XapiFailure:
        return False
    return True


def place(db: Database, host: str, vm: Row) -> None:
    """Each virtual GPU of a VM that runs on ``host`` gets its processor."""
    for vgpu in of_vm(db, vm):
        chosen = next(iter(_able(db, host, vgpu, {})), NULL_REF)
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
    return is_shared(db, vgpu) and pgpu is not None and bool(pgpu["compatibility_metadata"])


def _able(db: Database, host: str, vgpu: Row, planned: Mapping[str, str]) -> list[str]:
    """Processors of a host that take a virtual GPU, in the order of its group; where it is already, that one.
    ``planned`` are the processors of others that are to be placed.
    """
    group = db.row("GPU_group", vgpu["GPU_group"])
    here = [ref for ref in group["PGPUs"] if db.row("PGPU", ref)["host"] == host]
    if vgpu["resident_on"] in here:
        return [vgpu["resident_on"]]
    room = {pgpu: _room(db, pgpu, vgpu, planned) for pgpu in here}
    able = [pgpu for pgpu in here if room[pgpu] > 0]
    return sorted(able, key=room.__getitem__, reverse=group["allocation_algorithm"] != "depth_first")


def _room(db: Database, pgpu: str, vgpu: Row, planned: Mapping[str, str]) -> int:
    others = [db.row("VGPU", other)["type"] for other, where in planned.items() if where == pgpu]
    try:
        return capacity(db, pgpu, vgpu["type"], others)
    except XapiFailure:
        return 0
