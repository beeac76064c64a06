"""What the tools in a guest say of it, and what is said to them, line by line on a serial port.

A line is a path, a blank and a value, as a guest's tools write them in xenstore (xapi:
ocaml/xapi/xapi_guest_agent.ml; xe-guest-utilities: README); what it wrote counts when it writes
``data/updated``. The toolstack writes ``control/shutdown``, and the guest acknowledges that by writing it
without a value.
"""

import re
from collections.abc import Mapping
from typing import Any

MAX_LINE = 4096
MAX_ENTRIES = 1000
"""As many as xenstored lets a guest have (oxenstored.conf: quota-maxentity)."""
SHUTDOWN = "control/shutdown"
UPDATED = "data/updated"
_LINE = re.compile(r"([A-Za-z0-9_@-][A-Za-z0-9_@/-]*)(?: (.*))?")
_DRIVERS = {
    "attr/PVAddons/MajorVersion": "major",
    "attr/PVAddons/MinorVersion": "minor",
    "attr/PVAddons/MicroVersion": "micro",
    "attr/PVAddons/BuildVersion": "build",
}
_SYSTEM = {
    "data/os_name": "name",
    "data/os_uname": "uname",
    "data/os_distro": "distro",
    "data/os_majorver": "major",
    "data/os_minorver": "minor",
}
_ADDRESS = re.compile(r"attr/vif/(\d+)/(ipv[46])/(\d+)")
_CANNOT_SUSPEND = "data/cant_suspend_reason"


def read_line(line: bytes) -> tuple[str, str] | None:
    """Path and value; a line that is neither, such as the noise of a port that is opened, is nothing."""
    found = _LINE.fullmatch(line.decode("utf-8", "replace").strip("\r\n"))
    return None if found is None else (found[1], found[2] or "")


def order(action: str) -> bytes:
    """``poweroff`` or ``reboot``, as the guest reads it."""
    return f"{SHUTDOWN} {action}\n".encode()


def guest_metrics(store: Mapping[str, str]) -> dict[str, Any]:
    """Fields of VM_guest_metrics; those of a guest without tools when it has said nothing."""
    drivers = {name: store[path] for path, name in _DRIVERS.items() if path in store}
    other = {path.removeprefix("control/"): value for path, value in store.items() if _is_control(path)}
    if _CANNOT_SUSPEND in store:
        other["data-cant-suspend-reason"] = store[_CANNOT_SUSPEND]
    return {
        "PV_drivers_version": drivers,
        "PV_drivers_detected": bool(drivers),
        "PV_drivers_up_to_date": bool(drivers),
        "os_version": {name: store[path] for path, name in _SYSTEM.items() if path in store},
        "networks": _addresses(store),
        "other": other,
    }


def _is_control(path: str) -> bool:
    return path.startswith("control/") and path != SHUTDOWN


def _addresses(store: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, value in store.items():
        if (address := _ADDRESS.fullmatch(path)) is not None:
            device, family, number = address.groups()
            found[f"{device}/{family}/{number}"] = value
            if (family, number) == ("ipv4", "0"):
                found[f"{device}/ip"] = value
    return found
