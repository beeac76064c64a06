"""Devices of guests: when they may be taken away, and when they are there from the start."""

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure


def check_drivers(call: Call, vm: Row) -> None:
    """Raises ``VM_MISSING_PV_DRIVERS``."""
    metrics = call.db.find("VM_guest_metrics", vm["guest_metrics"])
    if not vm["is_control_domain"] and (metrics is None or not metrics["PV_drivers_detected"]):
        raise XapiFailure("VM_MISSING_PV_DRIVERS", vm.ref)


def creates_attached(call: Call, vm: Row) -> bool:
    """Whether a new device of the VM may be attached from the start: while the VM is suspended (xapi:
    ocaml/xapi/xapi_vbd.ml ``create``, since 1.257).
    """
    return vm["power_state"] == "Suspended" and call.pool.model.release >= (1, 257)
