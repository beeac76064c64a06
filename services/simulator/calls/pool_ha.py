"""High availability, and how many hosts a pool may lose (xapi: ocaml/xapi/xapi_ha_vm_failover.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import high_availability, placement


async def enable(call: Call, heartbeat_srs: list[str], configuration: dict[str, str]) -> None:
    """Raises ``HA_IS_ENABLED``, ``LICENCE_RESTRICTION``, ``HOST_OFFLINE``, ``CANNOT_CREATE_STATE_FILE``,
    ``SR_HAS_NO_PBDS``, ``SR_OPERATION_NOT_SUPPORTED``.
    """
    await high_availability.enable(call.pool, heartbeat_srs, configuration)


async def disable(call: Call) -> None:
    """Raises ``HA_NOT_ENABLED``."""
    high_availability.disable(call.pool)


async def emergency_disable(call: Call, soft: bool) -> None:
    """Raises ``HA_NOT_ENABLED``, unless ``soft``."""
    if call.db.only("pool")["ha_enabled"] or not soft:
        high_availability.disable(call.pool)


async def set_failures_to_tolerate(call: Call, ref: str, value: int) -> None:
    """Raises ``INVALID_VALUE``, ``HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN``."""
    call.db.row("pool", ref)
    high_availability.set_failures_to_tolerate(call.pool, value)


async def compute_max_failures(call: Call) -> int:
    """With the VMs that are to be restarted as they are now."""
    return high_availability.tolerable(call.pool, high_availability.protected_vms(call.pool))


async def compute_hypothetical_max_failures(call: Call, configuration: dict[str, str]) -> int:
    """With other restart priorities, by VM."""
    chosen = [call.db.row("VM", ref) for ref, wish in configuration.items() if wish == "restart"]
    return high_availability.tolerable(call.pool, chosen)


async def failover_plan_exists(call: Call, failures: int) -> bool:
    return high_availability.plan_exists(call.pool, failures)


async def compute_vm_failover_plan(
    call: Call, failed_hosts: list[str], failed_vms: list[str]
) -> dict[str, dict[str, str]]:
    """For every VM the host it would start on, or why it would on none."""
    plan: dict[str, dict[str, str]] = {}
    for ref in failed_vms:
        plan[ref] = {"error_code": "NO_HOSTS_AVAILABLE"}
        for host in (each for each in call.pool.hosts if each not in failed_hosts):
            try:
                placement.check(call.pool, host, call.db.row("VM", ref))
            except XapiFailure as failure:
                plan[ref] = {"error_code": failure.code}
            else:
                plan[ref] = {"host": host}
                break
    return plan


async def prevent_restarts_for(call: Call, seconds: int) -> None:
    """Raises ``HA_NOT_ENABLED``."""
    if not call.db.only("pool")["ha_enabled"]:
        raise XapiFailure("HA_NOT_ENABLED")
