"""Provisioning services: records of sites and of what they use (xapi: xapi_pvs_site.ml and others)."""

from typing import Any

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure


async def site_introduce(call: Call, name: str, description: str, pvs_uuid: str) -> str:
    about = {"name_label": name, "name_description": description, "PVS_uuid": pvs_uuid}
    return call.pool.create("PVS_site", **about)


async def site_forget(call: Call, ref: str) -> None:
    """Raises ``PVS_SITE_CONTAINS_SERVERS``, ``PVS_SITE_CONTAINS_RUNNING_PROXIES``."""
    site = call.db.row("PVS_site", ref)
    running = [proxy for proxy in site["proxies"] if call.db.row("PVS_proxy", proxy)["currently_attached"]]
    if running:
        raise XapiFailure("PVS_SITE_CONTAINS_RUNNING_PROXIES", ",".join(running))
    if site["servers"]:
        raise XapiFailure("PVS_SITE_CONTAINS_SERVERS", ",".join(site["servers"]))
    call.db.delete("PVS_site", ref)


async def server_introduce(call: Call, addresses: list[str], first: int, last: int, site: str) -> str:
    """Raises ``PVS_SERVER_ADDRESS_IN_USE``, ``VALUE_NOT_SUPPORTED`` for ports that are none."""
    call.db.row("PVS_site", site)
    taken = {address for row in call.db.rows("PVS_server") for address in row["addresses"]}
    for address in addresses:
        if address in taken:
            raise XapiFailure("PVS_SERVER_ADDRESS_IN_USE", address)
    if not 0 < first <= last < 2**16:
        raise XapiFailure("VALUE_NOT_SUPPORTED", "first_port", str(first), "no range of ports")
    ports = {"first_port": first, "last_port": last}
    return call.pool.create("PVS_server", addresses=addresses, site=site, **ports)


async def proxy_create(call: Call, site: str, vif: str) -> str:
    """Raises ``PVS_VIF_MUST_BE_FIRST_DEVICE``, ``PVS_PROXY_ALREADY_PRESENT``."""
    call.db.row("PVS_site", site)
    if call.db.row("VIF", vif)["device"] != "0":
        raise XapiFailure("PVS_VIF_MUST_BE_FIRST_DEVICE")
    present = [row.ref for row in call.db.rows("PVS_proxy") if row["VIF"] == vif]
    if present:
        raise XapiFailure("PVS_PROXY_ALREADY_PRESENT", ",".join(present))
    return call.pool.create("PVS_proxy", site=site, VIF=vif, status="stopped")


async def cache_create(call: Call, record: dict[str, Any]) -> str:
    """Raises ``PVS_CACHE_STORAGE_ALREADY_PRESENT``."""
    for cls, field in (("host", "host"), ("SR", "SR"), ("PVS_site", "site")):
        call.db.row(cls, record[field])
    for row in call.db.rows("PVS_cache_storage"):
        if (row["site"], row["host"]) == (record["site"], record["host"]):
            raise XapiFailure("PVS_CACHE_STORAGE_ALREADY_PRESENT", record["site"], record["host"])
    return call.pool.create("PVS_cache_storage", **record)
