"""Calls of class pool (xapi: ocaml/xapi/xapi_pool.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure


async def designate_new_master(call: Call, host: str) -> None:
    """Returns before the toolstacks restart. Raises ``HA_IS_ENABLED``, ``HOST_OFFLINE``."""
    if call.db.only("pool")["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")
    heir = call.pool.hosts[call.db.row("host", host).ref]
    if not heir.heard:
        raise XapiFailure("HOST_OFFLINE", host)
    call.pool.background(call.pool.failures.designate(heir))


async def emergency_transition_to_master(call: Call) -> None:
    """Of a supporter that has lost its coordinator."""
    if call.host.emergency:
        await call.pool.failures.seize(call.host)


async def recover_slaves(call: Call) -> list[str]:
    return call.pool.failures.recover_supporters()


async def enable_ha(call: Call, heartbeat_srs: list[str], configuration: dict[str, str]) -> None:
    """Raises ``HA_IS_ENABLED``."""
    pool = call.db.only("pool")
    if pool["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")
    for sr in heartbeat_srs:
        call.db.row("SR", sr)
    call.db.update("pool", pool.ref, ha_enabled=True, ha_configuration=configuration, ha_plan_exists_for=1)


async def disable_ha(call: Call) -> None:
    """Raises ``HA_NOT_ENABLED``."""
    pool = call.db.only("pool")
    if not pool["ha_enabled"]:
        raise XapiFailure("HA_NOT_ENABLED")
    call.db.update("pool", pool.ref, ha_enabled=False, ha_configuration={}, ha_plan_exists_for=0)


async def set_ha_host_failures_to_tolerate(call: Call, ref: str, value: int) -> None:
    call.db.set("pool", ref, "ha_host_failures_to_tolerate", value)


async def sync_database(call: Call) -> None:
    """Replicas are this very database."""


async def get_license_state(call: Call, ref: str) -> dict[str, str]:
    call.db.row("pool", ref)
    return {"edition": "premium", "expiry": "20991231T23:59:59Z"}
