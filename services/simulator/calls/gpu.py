"""Calls of classes VGPU, GPU_group and PGPU (xapi: ocaml/xapi/xapi_vgpu.ml, xapi_gpu_group.ml,
xapi_pgpu.ml).
"""

from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure, ocaml_failure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, gpus

_DEVICES = range(21)
"""A GPU's slot on its guest's PCI bus is its device number plus 11 (xapi: ocaml/xapi/xapi_vgpu.ml)."""
_ANY = 0
"""The device that asks for the next free one."""


async def vgpu_create(
    call: Call, vm_ref: str, group: str, device: str, other_config: dict[str, str], type_: str
) -> str:
    """Of a halted VM or a snapshot; without a type the whole processor.

    Raises ``FEATURE_RESTRICTED``, ``VM_BAD_POWER_STATE``, ``INVALID_VALUE``, ``VGPU_TYPE_NOT_COMPATIBLE``,
    ``INVALID_DEVICE``, ``DEVICE_ALREADY_EXISTS``, ``VM_PCI_BUS_FULL``.
    """
    db = call.db
    if db.only("pool")["restrictions"].get("restrict_gpu") == "true":
        raise XapiFailure("FEATURE_RESTRICTED")
    vm = db.row("VM", vm_ref)
    if vm["power_state"] != "Halted" and not vm["is_a_snapshot"]:
        raise XapiFailure("VM_BAD_POWER_STATE", vm_ref, "halted", vm["power_state"].lower())
    db.row("GPU_group", group)
    if type_ == NULL_REF:
        whole = (row for row in db.rows("VGPU_type") if row["implementation"] == "passthrough")
        type_ = next((row.ref for row in whole), NULL_REF)
    if db.find("VGPU_type", type_) is None:
        raise XapiFailure("INVALID_VALUE", "type", type_)
    number = _next_to_others(db, vm, device, type_) if gpus.allows_several(db) else _alone(db, vm, device)
    values = {"device": number, "other_config": other_config, "type": type_}
    ref = call.pool.create("VGPU", VM=vm_ref, GPU_group=group, **values)
    allowed_operations.refresh(db, "VM", vm_ref)
    return ref


def _alone(db: Database, vm: Row, device: str) -> str:
    """Up to release 8.0 a VM has one GPU."""
    if device != str(_ANY):
        raise XapiFailure("INVALID_DEVICE", device)
    if vm["VGPUs"]:
        raise XapiFailure("DEVICE_ALREADY_EXISTS", device)
    return device


def _next_to_others(db: Database, vm: Row, device: str, type_: str) -> str:
    present = gpus.of_vm(db, vm)
    kinds = [db.row("VGPU_type", vgpu["type"]) for vgpu in present]
    if not all(type_ in kind["compatible_types_in_vm"] for kind in kinds):
        raise XapiFailure("VGPU_TYPE_NOT_COMPATIBLE", type_)
    try:
        number = int(device)
    except ValueError:
        raise ocaml_failure("int_of_string") from None
    taken = {int(vgpu["device"]) for vgpu in present}
    if number == _ANY:
        number = next((free for free in _DEVICES if free not in taken), -1)
        if number < 0:
            raise XapiFailure("VM_PCI_BUS_FULL", vm.ref)
    elif number in taken:
        raise XapiFailure("DEVICE_ALREADY_EXISTS", device)
    elif number not in _DEVICES:
        raise XapiFailure("INVALID_DEVICE", device)
    return str(number)


async def vgpu_destroy(call: Call, ref: str) -> None:
    """Raises ``OPERATION_NOT_ALLOWED``."""
    vm = call.db.row("VGPU", ref)["VM"]
    row = call.db.find("VM", vm)
    if row is not None and row["power_state"] in ("Running", "Paused"):
        raise XapiFailure("OPERATION_NOT_ALLOWED", "vGPU currently attached to a running VM")
    call.db.delete("VGPU", ref)
    allowed_operations.refresh(call.db, "VM", vm)


async def group_create(call: Call, name: str, description: str, other_config: dict[str, str]) -> str:
    values = {"name_label": name, "name_description": description, "other_config": other_config}
    return call.pool.create("GPU_group", **values)


async def group_destroy(call: Call, ref: str) -> None:
    """Raises ``GPU_GROUP_CONTAINS_PGPU``, ``GPU_GROUP_CONTAINS_VGPU``."""
    row = call.db.row("GPU_group", ref)
    for field, code in (("PGPUs", "GPU_GROUP_CONTAINS_PGPU"), ("VGPUs", "GPU_GROUP_CONTAINS_VGPU")):
        if row[field]:
            raise XapiFailure(code, *row[field])
    call.db.delete("GPU_group", ref)


async def group_remaining_capacity(call: Call, ref: str, type_: str) -> int:
    try:
        return gpus.group_capacity(call.db, ref, type_)
    except XapiFailure:
        return 0


async def pgpu_remaining_capacity(call: Call, ref: str, type_: str) -> int:
    try:
        return gpus.capacity(call.db, ref, type_)
    except XapiFailure:
        return 0


async def pgpu_set_group(call: Call, ref: str, group: str) -> None:
    """Raises ``PGPU_IN_USE_BY_VM``, ``PGPU_NOT_COMPATIBLE_WITH_GPU_GROUP``."""
    db = call.db
    pgpu, target = db.row("PGPU", ref), db.row("GPU_group", group)
    if users := [db.row("VGPU", vgpu)["VM"] for vgpu in pgpu["resident_VGPUs"]]:
        raise XapiFailure("PGPU_IN_USE_BY_VM", *users)
    pci = db.row("PCI", pgpu["PCI"])
    device = f"{pci['vendor_id']}/{pci['device_id']}"
    if target["PGPUs"] and device not in target["GPU_types"]:
        types = f"[{', '.join(target['GPU_types'])}]"
        raise XapiFailure("PGPU_NOT_COMPATIBLE_WITH_GPU_GROUP", device, types)
    before = pgpu["GPU_group"]
    db.set("PGPU", ref, "GPU_group", group)
    db.set("GPU_group", group, "GPU_types", [device])
    for each in (before, group):
        gpus.update_group(db, each)


async def pgpu_add_enabled_type(call: Call, ref: str, type_: str) -> None:
    """Raises ``VGPU_TYPE_NOT_SUPPORTED``."""
    enabled = call.db.row("PGPU", ref)["enabled_VGPU_types"]
    await pgpu_set_enabled_types(call, ref, [*enabled, *([] if type_ in enabled else [type_])])


async def pgpu_remove_enabled_type(call: Call, ref: str, type_: str) -> None:
    """Raises ``PGPU_IN_USE_BY_VM``."""
    enabled = call.db.row("PGPU", ref)["enabled_VGPU_types"]
    await pgpu_set_enabled_types(call, ref, [each for each in enabled if each != type_])


async def pgpu_set_enabled_types(call: Call, ref: str, types: list[str]) -> None:
    """Raises ``VGPU_TYPE_NOT_SUPPORTED``, ``PGPU_IN_USE_BY_VM`` while a VM uses one that goes."""
    db = call.db
    pgpu = db.row("PGPU", ref)
    for type_ in types:
        if type_ not in pgpu["supported_VGPU_types"]:
            raise XapiFailure("VGPU_TYPE_NOT_SUPPORTED", type_, *pgpu["supported_VGPU_types"])
    residents = [db.row("VGPU", vgpu) for vgpu in pgpu["resident_VGPUs"]]
    if users := [vgpu["VM"] for vgpu in residents if vgpu["type"] not in types]:
        raise XapiFailure("PGPU_IN_USE_BY_VM", *users)
    gpus.set_types(db, ref, "enabled", types)
