"""Calls of class network (xapi: ocaml/xapi/xapi_network.ml)."""

from typing import Any

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure

_EXCLUSIVE = {"nbd": "insecure_nbd", "insecure_nbd": "nbd"}


async def create(call: Call, record: dict[str, Any]) -> str:
    """A network of its own: no PIF joins it."""
    number = len(call.db.rows("network"))
    values = record if record.get("bridge") else record | {"bridge": f"xapi{number}"}
    return call.pool.create("network", **values)


async def destroy(call: Call, ref: str) -> None:
    """Raises ``NETWORK_CONTAINS_PIF``, ``NETWORK_CONTAINS_VIF``."""
    network = call.db.row("network", ref)
    for field, code in (("PIFs", "NETWORK_CONTAINS_PIF"), ("VIFs", "NETWORK_CONTAINS_VIF")):
        if network[field]:
            raise XapiFailure(code, network[field][0])
    call.db.delete("network", ref)


async def add_purpose(call: Call, ref: str, value: str) -> None:
    """Raises ``NETWORK_INCOMPATIBLE_PURPOSES`` for both kinds of NBD anywhere in the pool."""
    other = _EXCLUSIVE.get(value)
    if other is not None and any(other in row["purpose"] for row in call.db.rows("network")):
        raise XapiFailure("NETWORK_INCOMPATIBLE_PURPOSES", value, other)
    network = call.db.row("network", ref)
    if value not in network["purpose"]:
        call.db.add_to_set("network", ref, "purpose", value)


async def remove_purpose(call: Call, ref: str, value: str) -> None:
    call.db.remove_from_set("network", ref, "purpose", value)
