"""How many hosts a pool may lose (xapi: ocaml/xapi/xapi_ha_vm_failover.ml)."""

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import domains, placement


async def compute_max_failures(call: Call) -> int:
    """With the VMs that are to be restarted as they are now."""
    protected = [vm for vm in call.db.rows("VM") if vm["ha_restart_priority"] == "restart"]
    return _tolerable(call, [vm for vm in protected if not vm["is_a_snapshot"]])


async def compute_hypothetical_max_failures(call: Call, configuration: dict[str, str]) -> int:
    """With other restart priorities, by VM."""
    chosen = [call.db.row("VM", ref) for ref, wish in configuration.items() if wish == "restart"]
    return _tolerable(call, chosen)


async def failover_plan_exists(call: Call, failures: int) -> bool:
    return failures <= await compute_max_failures(call)


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


def _tolerable(call: Call, protected: list[Row]) -> int:
    """Hosts that may fail, the roomiest first, while memory for the protected VMs is left."""
    rooms = sorted(_room(call, host) for host in call.pool.hosts if call.pool.hosts[host].alive)
    needed = sum(vm["memory_static_max"] + domains.memory_overhead(vm) for vm in protected)
    tolerated = 0
    while len(rooms) > 1 and sum(rooms[:-1]) >= needed:
        rooms.pop()
        tolerated += 1
    return tolerated


def _room(call: Call, host: str) -> int:
    """Bytes a host has for VMs that are protected."""
    row = call.db.row("host", host)
    residents = [call.db.row("VM", vm) for vm in row["resident_VMs"]]
    protected = sum(vm["memory_static_max"] for vm in residents if vm["ha_restart_priority"] == "restart")
    return domains.free_memory(call.pool, host) + int(protected)
