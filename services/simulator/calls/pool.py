"""Calls of class pool (xapi: ocaml/xapi/xapi_pool.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure


async def designate_new_master(call: Call, host: str) -> None:
    """Returns before the toolstacks restart. Raises ``HA_IS_ENABLED``, ``HOST_OFFLINE``."""
    if call.db.only("pool")["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")
    heir = call.pool.hosts[call.db.row("host", host).ref]
    if not call.pool.hears(heir):
        raise XapiFailure("HOST_OFFLINE", host)
    call.pool.background(call.pool.failures.designate(heir))


async def emergency_transition_to_master(call: Call) -> None:
    """Of a supporter that has lost its coordinator."""
    if call.host.emergency:
        await call.pool.failures.seize(call.host)


async def recover_slaves(call: Call) -> list[str]:
    """Raises ``NOT_IMPLEMENTED`` where a former coordinator of a split pool is asked: here that one loses."""
    if call.pool.half is not None:
        raise XapiFailure("NOT_IMPLEMENTED", "pool.recover_slaves")
    return await call.pool.failures.recover_supporters()


async def sync_database(call: Call) -> None:
    """Replicas are this very database."""


async def get_license_state(call: Call, ref: str) -> dict[str, str]:
    call.db.row("pool", ref)
    return {"edition": "premium", "expiry": "20991231T23:59:59Z"}
