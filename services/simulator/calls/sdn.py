"""Controllers of virtual switches, and tunnels (xapi: xapi_sdn_controller.ml, xapi_tunnel.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure

_DEFAULT_PORT = {"ssl": 6632, "pssl": 6640}


async def introduce(call: Call, protocol: str, address: str, port: int) -> str:
    """One at a time. Raises ``OPERATION_NOT_ALLOWED``, ``INVALID_VALUE``."""
    if call.db.rows("SDN_controller"):
        raise XapiFailure("OPERATION_NOT_ALLOWED", "an SDN controller is there; forget it first")
    if protocol == "ssl" and not address:
        raise XapiFailure("INVALID_IP_ADDRESS_SPECIFIED", "address")
    about = {"protocol": protocol, "address": address, "port": port or _DEFAULT_PORT[protocol]}
    call.db.set("pool", call.db.only("pool").ref, "vswitch_controller", address)
    return call.pool.create("SDN_controller", **about)


async def forget(call: Call, ref: str) -> None:
    call.db.delete("SDN_controller", ref)
    call.db.set("pool", call.db.only("pool").ref, "vswitch_controller", "")


async def set_vswitch_controller(call: Call, address: str) -> None:
    """The older way; nothing for an address forgets the controller."""
    for row in call.db.rows("SDN_controller"):
        await forget(call, row.ref)
    if address:
        await introduce(call, "ssl", address, 0)


async def tunnel_create(call: Call, transport: str, network: str, protocol: str = "gre") -> str:
    """Raises ``PIF_IS_NOT_PHYSICAL``, ``TRANSPORT_PIF_NOT_CONFIGURED``, ``NETWORK_ALREADY_CONNECTED``."""
    pif = call.db.row("PIF", transport)
    if not pif["physical"]:
        raise XapiFailure("PIF_IS_NOT_PHYSICAL", transport)
    if pif["ip_configuration_mode"] == "None":
        raise XapiFailure("TRANSPORT_PIF_NOT_CONFIGURED", transport)
    for other in (call.db.row("PIF", ref) for ref in call.db.row("network", network)["PIFs"]):
        if other["host"] == pif["host"]:
            raise XapiFailure("NETWORK_ALREADY_CONNECTED", pif["host"], other.ref)
    number = len(call.db.rows("tunnel"))
    access = call.pool.create(
        "PIF",
        device=f"tunnel{number}",
        network=network,
        host=pif["host"],
        MAC=call.pool.ids.new()[:2].join(["02:", ":00:00:00:00"]),
        MTU=pif["MTU"],
        VLAN=-1,
        metrics=call.pool.create("PIF_metrics", last_updated=call.pool.now(), carrier=True),
        ip_configuration_mode="None",
        managed=True,
        currently_attached=pif["currently_attached"],
    )
    about = {"access_PIF": access, "transport_PIF": transport, "status": {"active": "false"}}
    kept = {"protocol": protocol} if "protocol" in call.db.model.classes["tunnel"].fields else {}
    return call.pool.create("tunnel", **about, **kept)


async def tunnel_destroy(call: Call, ref: str) -> None:
    access = call.db.row("PIF", call.db.row("tunnel", ref)["access_PIF"])
    call.db.delete("tunnel", ref)
    call.db.delete("PIF_metrics", access["metrics"])
    call.db.delete("PIF", access.ref)


async def refuse_sriov(call: Call, pif: str, network: str) -> None:
    """No interface here can. Raises ``PIF_IS_NOT_SRIOV_CAPABLE``."""
    call.db.row("network", network)
    raise XapiFailure("PIF_IS_NOT_SRIOV_CAPABLE", call.db.row("PIF", pif).ref)
