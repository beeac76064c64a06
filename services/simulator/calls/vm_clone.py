"""VM.clone, VM.copy and VM.provision (xapi: ocaml/xapi/xapi_vm_clone.ml, create_template.ml)."""

from xml.etree import ElementTree

from services.simulator.calls import vbd, vdi, vdi_copies
from services.simulator.calls.vm_copies import copied_image, copy_devices, copy_disks, copy_record
from services.simulator.dispatch.call import Call
from services.simulator.failure import ocaml_failure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, domains
from services.simulator.pool.operations import vm_operation


async def clone(call: Call, vm_ref: str, new_name: str) -> str:
    """A VM that shares blocks with its source; new MACs, nothing blocked, no start order (recorded)."""
    return await _duplicate(call, vm_ref, new_name, "clone", NULL_REF)


async def copy(call: Call, vm_ref: str, new_name: str, sr: str) -> str:
    """A VM with full copies of the disks, in ``sr`` or, for the null reference, each in its own SR."""
    if sr != NULL_REF:
        call.db.row("SR", sr)
    return await _duplicate(call, vm_ref, new_name, "copy", sr)


async def _duplicate(call: Call, vm_ref: str, new_name: str, kind: str, sr: str) -> str:
    db = call.db
    async with vm_operation(call, vm_ref, kind):
        vm = db.row("VM", vm_ref)

        async def copy_one(part: Call, vdi: str) -> str:
            if kind == "clone":
                return await vdi_copies.clone(part, vdi, {})
            target = sr if sr != NULL_REF else db.row("VDI", vdi)["SR"]
            return await vdi_copies.copy(part, vdi, target, NULL_REF, NULL_REF)

        disks = await copy_disks(call, vm, kind, copy_one, frozenset())
        ref = copy_record(
            call,
            vm,
            name_label=new_name,
            other_config={**vm["other_config"], "mac_seed": call.pool.ids.new()},
            **await copied_image(call, vm, kind, copy_one),
        )
        copy_devices(call, vm, ref, disks, keep_macs=False)
    return ref


async def provision(call: Call, vm_ref: str) -> None:
    """A template becomes a VM and gets the disks that it wishes for.

    Raises ``PROVISION_ONLY_ALLOWED_ON_TEMPLATE``, ``UUID_INVALID`` for an SR that is none, ``INTERNAL_ERROR``
    for a wish that cannot be read.
    """
    db = call.db
    async with vm_operation(call, vm_ref, "provision"):
        other_config = db.row("VM", vm_ref)["other_config"]
        for wish in _wishes(other_config.get("disks", "<provision/>")):
            await _fulfil(call, vm_ref, wish)
        domains.measure(call.pool, db.row("VM", vm_ref), install_time=call.pool.now())
        rest = {key: value for key, value in other_config.items() if key != "disks"}
        db.update("VM", vm_ref, is_a_template=False, is_default_template=False, other_config=rest)
    allowed_operations.refresh_vm(db, vm_ref)


def _wishes(text: str) -> list[dict[str, str]]:
    """Attributes of every ``<disk>`` of a ``<provision>``."""
    try:
        return [dict(disk.attrib) for disk in ElementTree.fromstring(text).iter("disk")]  # noqa: S314 - expat bounds entities
    except ElementTree.ParseError as error:
        raise ocaml_failure(f"cannot read other_config:disks: {error}") from error


async def _fulfil(call: Call, vm_ref: str, wish: dict[str, str]) -> None:
    sr = wish.get("sr") or call.db.row("SR", call.db.only("pool")["default_SR"])["uuid"]
    disk = await vdi.create(
        call,
        {
            "SR": call.db.by_uuid("SR", sr).ref,
            "name_label": wish.get("device", ""),
            "name_description": "Created by template provisioner",
            "type": wish.get("type", "user"),
            "virtual_size": int(wish["size"]),
        },
    )
    await vbd.create(
        call,
        {
            "VM": vm_ref,
            "VDI": disk,
            "userdevice": wish.get("device", "autodetect"),
            "bootable": wish.get("bootable") == "true",
            "mode": "RW",
            "type": "Disk",
            "unpluggable": True,
            "empty": False,
            "other_config": {"owner": ""},
        },
    )
