"""Calls of class host (xapi: ocaml/xapi/xapi_host.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import domains, placement
from services.simulator.wire.datetimes import DateTime


async def get_server_certificate(call: Call, ref: str) -> str:
    """PEM."""
    call.db.row("host", ref)
    return call.pool.hosts[ref].certificate.pem


async def get_servertime(call: Call, ref: str) -> DateTime:
    call.db.row("host", ref)
    return call.pool.now()


async def get_server_localtime(call: Call, ref: str) -> DateTime:
    call.db.row("host", ref)
    return DateTime(str(call.pool.now()).removesuffix("Z"))


async def compute_free_memory(call: Call, ref: str) -> int:
    return placement.free_memory(call.pool, call.db.row("host", ref).ref)


async def compute_memory_overhead(call: Call, ref: str) -> int:
    return int(call.db.row("host", ref)["memory_overhead"])


async def disable(call: Call, ref: str, auto_enable: bool = True) -> None:
    call.db.set("host", ref, "enabled", False)


async def enable(call: Call, ref: str) -> None:
    call.db.set("host", ref, "enabled", True)


async def get_uncooperative_resident_vms(call: Call, ref: str) -> list[str]:
    call.db.row("host", ref)
    return []


async def call_plugin(call: Call, ref: str, plugin: str, name: str, arguments: dict[str, str]) -> str:
    """A control domain without plug-ins. Raises ``XENAPI_MISSING_PLUGIN``."""
    call.db.row("host", ref)
    raise XapiFailure("XENAPI_MISSING_PLUGIN", plugin)


async def declare_dead(call: Call, ref: str) -> None:
    """Raises ``HOST_IS_LIVE``; the VMs that it ran count as halted."""
    host = call.db.row("host", ref)
    if call.pool.hears(call.pool.hosts[ref]):
        raise XapiFailure("HOST_IS_LIVE", ref)
    call.db.set("host_metrics", host["metrics"], "live", False)
    for vm in list(host["resident_VMs"]):
        if not call.db.row("VM", vm)["is_control_domain"]:
            await domains.stopped(call.pool, vm, crashed=True)


async def restart_agent(call: Call, ref: str) -> None:
    """Returns before the toolstack restarts."""
    call.db.row("host", ref)
    call.pool.background(call.pool.failures.restart_toolstack(call.pool.hosts[ref]))
