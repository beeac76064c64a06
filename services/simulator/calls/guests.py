"""What a guest must have for its devices to be taken away."""

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure


def check_drivers(call: Call, vm: Row) -> None:
    """Raises ``VM_MISSING_PV_DRIVERS``."""
    metrics = call.db.find("VM_guest_metrics", vm["guest_metrics"])
    if not vm["is_control_domain"] and (metrics is None or not metrics["PV_drivers_detected"]):
        raise XapiFailure("VM_MISSING_PV_DRIVERS", vm.ref)
