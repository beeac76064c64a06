"""The same for every host of a pool, and what a host merely notes (xapi: xapi_host.ml, xapi_pool.ml)."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import available_timezones

from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.failure import XapiFailure, handle_invalid
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool.facts import EDITIONS

SCHED_GRANULARITIES = ("core", "cpu", "socket")


def setter(cls: str, field: str) -> CallFunction:
    """A field that a call of its own writes."""

    async def set_field(call: Call, ref: str, value: Any) -> None:
        call.db.set(cls, ref, field, value)

    return set_field


def switch(cls: str, field: str, value: bool) -> CallFunction:
    """A field that a call switches on or off."""

    async def set_switch(call: Call, ref: str) -> None:
        call.db.set(cls, ref, field, value)

    return set_switch


def on_every_host(function: CallFunction) -> CallFunction:
    """A call of the pool that makes the call of the same name on each host."""

    async def for_all(call: Call, pool: str, *arguments: Any) -> None:
        call.db.row("pool", pool)
        for host in call.db.rows("host"):
            await function(call, host.ref, *arguments)

    return for_all


async def apply_edition(call: Call, host: str, edition: str, *_: bool) -> None:
    """Raises ``INVALID_EDITION``."""
    if edition not in EDITIONS:
        raise XapiFailure("INVALID_EDITION", edition)
    params = call.db.row("host", host)["license_params"] | {"sku_type": edition}
    call.db.update("host", host, edition=edition, license_params=params)


async def refuse_license_file(call: Call, host: str, contents: str) -> None:
    """Licences come from a server nowadays. Raises ``LICENSE_FILE_DEPRECATED``."""
    call.db.row("host", host)
    raise XapiFailure("LICENSE_FILE_DEPRECATED")


async def remove_license(call: Call, host: str) -> None:
    await apply_edition(call, host, "free")


async def enable_caching(call: Call, host: str, sr: str) -> None:
    """Raises ``HOST_NOT_DISABLED``, ``SR_OPERATION_NOT_SUPPORTED`` for storage that is not local files."""
    if call.db.row("host", host)["enabled"]:
        raise XapiFailure("HOST_NOT_DISABLED")
    row = call.db.row("SR", sr)
    pbds = (call.db.row("PBD", pbd) for pbd in row["PBDs"])
    if row["type"] != "ext" or all(pbd["host"] != host for pbd in pbds):
        raise XapiFailure("SR_OPERATION_NOT_SUPPORTED", sr)
    call.db.set("SR", sr, "local_cache_enabled", True)
    call.db.set("host", host, "local_cache_sr", sr)


async def disable_caching(call: Call, host: str) -> None:
    """Raises ``HOST_NOT_DISABLED``."""
    row = call.db.row("host", host)
    if row["enabled"]:
        raise XapiFailure("HOST_NOT_DISABLED")
    if call.db.find("SR", row["local_cache_sr"]) is not None:
        call.db.set("SR", row["local_cache_sr"], "local_cache_enabled", False)
    call.db.set("host", host, "local_cache_sr", NULL_REF)


async def enable_pool_caching(call: Call, pool: str) -> None:
    """On local files of each host that has any."""
    call.db.row("pool", pool)
    for host in call.db.rows("host"):
        for sr in (call.db.row("PBD", pbd)["SR"] for pbd in host["PBDs"]):
            row = call.db.row("SR", sr)
            if row["type"] == "ext" and not row["shared"]:
                await enable_caching(call, host.ref, sr)


async def get_sched_gran(call: Call, host: str) -> str:
    call.db.row("host", host)
    return call.pool.hosts[host].sched_gran


async def set_sched_gran(call: Call, host: str, value: str) -> None:
    """It counts from the next boot."""
    if value not in SCHED_GRANULARITIES:
        raise XapiFailure("INVALID_VALUE", "sched_gran", value)
    call.db.row("host", host)
    call.pool.hosts[host].sched_gran = value


async def manage_by(call: Call, pif: str) -> None:
    """Another interface of the same host becomes the one to manage it by. Raises ``INTERFACE_HAS_NO_IP``."""
    row = call.db.row("PIF", pif)
    if not row["IP"]:
        raise XapiFailure("INTERFACE_HAS_NO_IP", pif)
    for other in call.db.row("host", row["host"])["PIFs"]:
        call.db.set("PIF", other, "management", other == pif)


async def manage_pool_by(call: Call, network: str) -> None:
    """Raises ``PIF_NOT_PRESENT`` when a host has no interface on the network, before any changes."""
    rows = [call.db.row("PIF", pif) for pif in call.db.row("network", network)["PIFs"]]
    by_host = {row["host"]: row.ref for row in rows}
    for host in call.db.rows("host"):
        if host.ref not in by_host:
            raise XapiFailure("PIF_NOT_PRESENT", host.ref, network)
    for pif in by_host.values():
        await manage_by(call, pif)


async def verify_here(call: Call, *, value: bool) -> None:
    if "tls_verification_enabled" in call.db.row("host", call.host.ref):
        call.db.set("host", call.host.ref, "tls_verification_enabled", value)


async def stop_verifying(call: Call) -> None:
    """The host that is asked trusts anybody."""
    await verify_here(call, value=False)


async def verify_again(call: Call) -> None:
    await verify_here(call, value=True)


async def rotate_secret(call: Call) -> None:
    """What hosts know each other by changes. Raises ``HA_IS_ENABLED``."""
    if call.db.only("pool")["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")


async def refuse_auth(call: Call, ref: str, config: dict[str, str], service: str, type_: str) -> None:
    """There is no directory to reach. Raises ``AUTH_UNKNOWN_TYPE``, ``AUTH_ENABLE_FAILED``."""
    _check_either(call, ref)
    if type_ != "AD":
        raise XapiFailure("AUTH_UNKNOWN_TYPE", type_)
    raise XapiFailure("AUTH_ENABLE_FAILED", f"no domain controller of {service} can be reached")


async def no_auth_to_disable(call: Call, ref: str, *_: object) -> None:
    _check_either(call, ref)


def _check_either(call: Call, ref: str) -> None:
    """A host, or the pool."""
    if call.db.find("pool", ref) is None:
        call.db.row("host", ref)


async def deconfigure_wlb(call: Call) -> None:
    call.db.update("pool", call.db.only("pool").ref, wlb_url="", wlb_username="", wlb_enabled=False)


async def refuse_new_wlb(call: Call, url: str, *_: str) -> None:
    """No such server answers. Raises ``WLB_CONNECTION_REFUSED``, ``WLB_URL_INVALID``."""
    raise XapiFailure(*(["WLB_CONNECTION_REFUSED"] if url else ["WLB_URL_INVALID", url]))


def of_none(cls: str) -> CallFunction:
    """A call on one of a class that a simulated pool has none of. Raises ``HANDLE_INVALID``."""

    async def refuse(call: Call, ref: str, *_: object) -> None:
        raise handle_invalid(cls, ref)

    return refuse


def all_of_none(cls: str, names: Sequence[str]) -> dict[str, CallFunction]:
    """``of_none`` for several calls."""
    return {f"{cls}.{name}": of_none(cls) for name in names}


async def get_agents(call: Call, host: str) -> dict[str, str]:
    """Who called with which version: nobody writes that down here."""
    call.db.row("host", host)
    return {}


async def get_ntp_servers(call: Call, host: str) -> dict[str, str]:
    call.db.row("host", host)
    return {}


async def is_ntp_synchronized(call: Call, host: str) -> bool:
    """A simulated host has the time of its machine."""
    call.db.row("host", host)
    return True


async def list_timezones(call: Call, host: str) -> list[str]:
    call.db.row("host", host)
    return sorted(available_timezones())


async def clear_guidance(call: Call) -> None:
    """Of the host that is asked: it need not reboot after all."""
    call.db.set("host", call.host.ref, "pending_guidances", [])


async def renew_telemetry(call: Call, pool: str) -> None:
    old = call.db.row("pool", pool)["telemetry_uuid"]
    call.db.set("pool", pool, "telemetry_uuid", call.pool.create("secret", value=call.pool.ids.new()))
    if call.db.find("secret", old) is not None:
        call.db.delete("secret", old)
