"""Who belongs to a pool, and what it trusts and restricts (xapi: ocaml/xapi/xapi_pool.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure


async def emergency_reset_master(call: Call, address: str) -> None:
    """A host that lost its coordinator, or is in a split pool, is told whom to follow. Returns before its
    toolstack restarts.
    """
    if call.host.emergency or call.pool.half is not None or call.pool.rival is not None:
        call.pool.failures.follow_soon(call.host, address)


async def has_extension(call: Call, pool: str, name: str) -> bool:
    call.db.row("pool", pool)
    return False


async def check_homogeneous_auth(call: Call, pool: str) -> None:
    """No host here knows of users elsewhere."""
    call.db.row("pool", pool)


async def set_https_only(call: Call, pool: str, value: bool) -> None:
    """Every host closes its plain port to newcomers, or opens it again."""
    call.db.row("pool", pool)
    for host in call.pool.hosts.values():
        await host.insist_on_https(value)
        call.db.set("host", host.ref, "https_only", value)


async def refuse_redo_log(call: Call, sr: str) -> None:
    """Raises ``SR_OPERATION_NOT_SUPPORTED``."""
    raise XapiFailure("SR_OPERATION_NOT_SUPPORTED", call.db.row("SR", sr).ref)


async def disable_redo_log(call: Call) -> None:
    """There is none."""


async def enable_tls_verification(call: Call) -> None:
    pool = call.db.only("pool")
    if "tls_verification_enabled" in pool:
        call.db.set("pool", pool.ref, "tls_verification_enabled", True)
    for host in call.db.rows("host"):
        call.db.set("host", host.ref, "tls_verification_enabled", True)
