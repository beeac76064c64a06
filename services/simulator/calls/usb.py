"""USB devices of hosts, given to VMs (xapi: xapi_vusb.ml, xapi_pusb.ml, xapi_usb_group.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations

_MOST = 6
"""Devices of a VM (xapi: xapi_globs.ml ``vusb_max``)."""


async def scan(call: Call, host: str) -> None:
    """Every device has a PUSB already."""
    call.db.row("host", host)


async def set_passthrough(call: Call, ref: str, value: bool) -> None:
    """Raises ``USB_GROUP_CONTAINS_VUSB`` while a VM has the device."""
    vusbs = call.db.row("USB_group", call.db.row("PUSB", ref)["USB_group"])["VUSBs"]
    if vusbs and not value:
        raise XapiFailure("USB_GROUP_CONTAINS_VUSB", *vusbs)
    call.db.set("PUSB", ref, "passthrough_enabled", value)


async def create(call: Call, vm: str, group: str, other_config: dict[str, str]) -> str:
    """Raises ``VM_BAD_POWER_STATE``, ``USB_GROUP_CONTAINS_NO_PUSBS``, ``USB_GROUP_CONTAINS_VUSB``,
    ``TOO_MANY_VUSBS``, ``LICENCE_RESTRICTION``.
    """
    row, members = call.db.row("VM", vm), call.db.row("USB_group", group)
    if call.db.only("pool")["restrictions"].get("restrict_usb_passthrough") == "true":
        raise XapiFailure("LICENCE_RESTRICTION", "USB_passthrough")
    if row["power_state"] != "Halted":
        raise XapiFailure("VM_BAD_POWER_STATE", vm, "halted", row["power_state"].lower())
    if not members["PUSBs"]:
        raise XapiFailure("USB_GROUP_CONTAINS_NO_PUSBS", group)
    if members["VUSBs"]:
        raise XapiFailure("USB_GROUP_CONTAINS_VUSB", *members["VUSBs"])
    if len(row["VUSBs"]) >= _MOST:
        raise XapiFailure("TOO_MANY_VUSBS", str(_MOST))
    ref = call.pool.create("VUSB", VM=vm, USB_group=group, other_config=other_config)
    allowed_operations.refresh(call.db, "VM", vm)
    return ref


async def unplug(call: Call, ref: str) -> None:
    """Raises ``DEVICE_ALREADY_DETACHED``."""
    if not call.db.row("VUSB", ref)["currently_attached"]:
        raise XapiFailure("DEVICE_ALREADY_DETACHED", ref)
    call.db.set("VUSB", ref, "currently_attached", False)


async def destroy(call: Call, ref: str) -> None:
    """Raises ``OPERATION_NOT_ALLOWED`` while it is plugged."""
    row = call.db.row("VUSB", ref)
    if row["currently_attached"]:
        raise XapiFailure("OPERATION_NOT_ALLOWED", f"VUSB '{ref}' still attached to '{row['VM']}'")
    call.db.delete("VUSB", ref)
    allowed_operations.refresh(call.db, "VM", row["VM"])


async def group_create(call: Call, name: str, description: str, other_config: dict[str, str]) -> str:
    about = {"name_label": name, "name_description": description, "other_config": other_config}
    return call.pool.create("USB_group", **about)


async def group_destroy(call: Call, ref: str) -> None:
    """Raises ``USB_GROUP_CONTAINS_PUSB``, ``USB_GROUP_CONTAINS_VUSB``."""
    row = call.db.row("USB_group", ref)
    for field, code in (("PUSBs", "USB_GROUP_CONTAINS_PUSB"), ("VUSBs", "USB_GROUP_CONTAINS_VUSB")):
        if row[field]:
            raise XapiFailure(code, *row[field])
    call.db.delete("USB_group", ref)
