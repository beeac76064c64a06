"""Calls of classes PIF, VLAN and Bond (xapi: ocaml/xapi/xapi_pif.ml, xapi_vlan.ml, xapi_bond.ml)."""

import re

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF

_TAGS = range(1, 4095)
_MAC = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_BOND_PROPERTIES = frozenset(
    {"hashing_algorithm", "updelay", "downdelay", "miimon", "use_carrier"}
    | {f"lacp-{name}" for name in ("time", "aggregation-key", "fallback-ab", "actor-key")}
)


async def plug(call: Call, ref: str) -> None:
    call.db.set("PIF", ref, "currently_attached", True)


async def unplug(call: Call, ref: str) -> None:
    """Raises ``PIF_IS_MANAGEMENT_INTERFACE``, ``PIF_DOES_NOT_ALLOW_UNPLUG``."""
    pif = call.db.row("PIF", ref)
    if pif["management"]:
        raise XapiFailure("PIF_IS_MANAGEMENT_INTERFACE", ref)
    if pif["disallow_unplug"]:
        raise XapiFailure("PIF_DOES_NOT_ALLOW_UNPLUG", ref)
    call.db.set("PIF", ref, "currently_attached", False)


async def reconfigure_ip(
    call: Call, ref: str, mode: str, address: str, netmask: str, gateway: str, dns: str
) -> None:
    """The management interface keeps its address: clients find the host by it. Raises
    ``PIF_IS_MANAGEMENT_INTERFACE``, ``INVALID_IP_ADDRESS_SPECIFIED``."""
    pif = call.db.row("PIF", ref)
    if pif["management"] and address != pif["IP"]:
        raise XapiFailure("PIF_IS_MANAGEMENT_INTERFACE", ref)
    if mode == "Static" and not (address and netmask):
        raise XapiFailure("INVALID_IP_ADDRESS_SPECIFIED", "IP" if not address else "netmask")
    known = {"IP": address, "netmask": netmask, "gateway": gateway, "DNS": dns} if mode == "Static" else {}
    call.db.update("PIF", ref, ip_configuration_mode=mode, **known)


async def scan(call: Call, host: str) -> None:
    """Every device has a PIF already."""
    call.db.row("host", host)


async def vlan_create(call: Call, tagged: str, tag: int, network: str) -> str:
    """Raises ``VLAN_TAG_INVALID``, ``PIF_VLAN_EXISTS``, ``PIF_IS_VLAN``, ``NETWORK_ALREADY_CONNECTED``."""
    db = call.db
    pif = db.row("PIF", tagged)
    _check_vlan(call, pif, tag, network)
    vlan = call.pool.create("VLAN", tagged_PIF=tagged, tag=tag)
    metrics = call.pool.create("PIF_metrics", last_updated=call.pool.now(), carrier=True)
    kept = ("device", "host", "MTU", "MAC", "primary_address_type", "managed", "igmp_snooping_status")
    untagged = call.pool.create(
        "PIF",
        **{field: pif[field] for field in kept},
        network=network,
        VLAN=tag,
        VLAN_master_of=vlan,
        metrics=metrics,
        currently_attached=pif["currently_attached"],
        ip_configuration_mode="None",
        ipv6_configuration_mode="None",
    )
    db.set("VLAN", vlan, "untagged_PIF", untagged)
    return vlan


def _check_vlan(call: Call, pif: Row, tag: int, network: str) -> None:
    if tag not in _TAGS:
        raise XapiFailure("VLAN_TAG_INVALID", str(tag))
    if pif["VLAN_master_of"] != NULL_REF:
        raise XapiFailure("PIF_IS_VLAN", pif.ref)
    for other in (call.db.row("VLAN", ref) for ref in pif["VLAN_slave_of"]):
        if other["tag"] == tag:
            raise XapiFailure("PIF_VLAN_EXISTS", pif.ref)
    for connected in (call.db.row("PIF", ref) for ref in call.db.row("network", network)["PIFs"]):
        if connected["host"] == pif["host"]:
            raise XapiFailure("NETWORK_ALREADY_CONNECTED", pif["host"], connected.ref)


async def vlan_destroy(call: Call, ref: str) -> None:
    """With its PIF."""
    db = call.db
    vlan = db.row("VLAN", ref)
    if db.find("PIF", vlan["untagged_PIF"]) is not None:
        db.delete("PIF", vlan["untagged_PIF"])
    db.delete("VLAN", ref)


async def create_vlan_everywhere(call: Call, ref: str, network: str, tag: int) -> list[str]:
    """On the same device of every live host; the PIFs. Raises what ``vlan_create`` does."""
    device = call.db.row("PIF", ref)["device"]
    return await create_vlan_on_device(call, device, network, tag)


async def create_vlan_on_device(call: Call, device: str, network: str, tag: int) -> list[str]:
    """On every live host."""
    live = {host.ref for host in call.pool.hosts.values() if host.alive}
    devices = [
        row
        for row in call.db.rows("PIF")
        if row["device"] == device and row["physical"] and row["host"] in live
    ]
    vlans = [await vlan_create(call, row.ref, tag, network) for row in devices]
    return [call.db.row("VLAN", vlan)["untagged_PIF"] for vlan in vlans]


async def create_vlan_here(call: Call, device: str, network: str, host: str, tag: int) -> str:
    """Raises ``PIF_DEVICE_NOT_FOUND`` and what ``vlan_create`` does."""
    pifs = [call.db.row("PIF", pif) for pif in call.db.row("host", host)["PIFs"]]
    found = next((pif for pif in pifs if pif["device"] == device and pif["physical"]), None)
    if found is None:
        raise XapiFailure("PIF_DEVICE_NOT_FOUND")
    vlan = await vlan_create(call, found.ref, tag, network)
    return str(call.db.row("VLAN", vlan)["untagged_PIF"])


async def destroy(call: Call, ref: str) -> None:
    """Of a VLAN. Raises ``PIF_IS_PHYSICAL``."""
    pif = call.db.row("PIF", ref)
    if pif["VLAN_master_of"] == NULL_REF:
        raise XapiFailure("PIF_IS_PHYSICAL", ref)
    await vlan_destroy(call, pif["VLAN_master_of"])


async def bond_create(
    call: Call, network: str, members: list[str], mac: str, mode: str, properties: dict[str, str]
) -> str:
    """Raises ``PIF_BOND_NEEDS_MORE_MEMBERS``, ``PIF_ALREADY_BONDED``, ``PIF_CANNOT_BOND_CROSS_HOST``."""
    db = call.db
    pifs = [db.row("PIF", ref) for ref in members]
    if len(pifs) < 2:
        raise XapiFailure("PIF_BOND_NEEDS_MORE_MEMBERS")
    for pif in pifs:
        if pif["bond_slave_of"] != NULL_REF:
            raise XapiFailure("PIF_ALREADY_BONDED", pif.ref)
    if len({pif["host"] for pif in pifs}) > 1:
        raise XapiFailure("PIF_CANNOT_BOND_CROSS_HOST")
    first = next((pif for pif in pifs if pif["management"]), pifs[0])
    bond = call.pool.create("Bond", mode=mode, properties=properties, primary_slave=first.ref)
    kept = (
        "host",
        "MTU",
        "IP",
        "netmask",
        "gateway",
        "DNS",
        "ip_configuration_mode",
        "management",
        "managed",
    )
    metrics = call.pool.create("PIF_metrics", last_updated=call.pool.now(), carrier=True)
    number = sum(row["device"].startswith("bond") for row in db.rows("PIF") if row["host"] == first["host"])
    master = call.pool.create(
        "PIF",
        **{field: first[field] for field in kept},
        device=f"bond{number}",
        MAC=mac or first["MAC"],
        VLAN=-1,
        network=network,
        metrics=metrics,
        currently_attached=True,
        primary_address_type=first["primary_address_type"],
        ipv6_configuration_mode="None",
        igmp_snooping_status=first["igmp_snooping_status"],
    )
    db.set("Bond", bond, "master", master)
    for pif in pifs:
        db.update("PIF", pif.ref, bond_slave_of=bond, management=False, ip_configuration_mode="None")
    return bond


async def bond_destroy(call: Call, ref: str) -> None:
    """Its first member takes over the address."""
    db = call.db
    bond = db.row("Bond", ref)
    master = db.row("PIF", bond["master"])
    kept = {field: master[field] for field in ("ip_configuration_mode", "management")}
    for member in bond["slaves"]:
        db.update("PIF", member, bond_slave_of=NULL_REF, **(kept if member == bond["primary_slave"] else {}))
    db.delete("PIF", master.ref)
    db.delete("Bond", ref)


async def reconfigure_ipv6(call: Call, ref: str, mode: str, address: str, gateway: str, dns: str) -> None:
    """Raises ``INVALID_IP_ADDRESS_SPECIFIED``."""
    if mode == "Static" and not address:
        raise XapiFailure("INVALID_IP_ADDRESS_SPECIFIED", "IPv6")
    known = {"IPv6": [address], "ipv6_gateway": gateway, "DNS": dns} if mode == "Static" else {}
    call.db.update("PIF", ref, ipv6_configuration_mode=mode, **known)


async def forget(call: Call, ref: str) -> None:
    """Raises ``PIF_IS_MANAGEMENT_INTERFACE``, ``PIF_IS_NOT_PHYSICAL``."""
    pif = call.db.row("PIF", ref)
    if not pif["physical"]:
        raise XapiFailure("PIF_IS_NOT_PHYSICAL", ref)
    if pif["management"]:
        raise XapiFailure("PIF_IS_MANAGEMENT_INTERFACE", ref)
    if call.db.find("PIF_metrics", pif["metrics"]) is not None:
        call.db.delete("PIF_metrics", pif["metrics"])
    call.db.delete("PIF", ref)


async def set_property(call: Call, ref: str, name: str, value: str) -> None:
    """``gro`` is the only one, on or off. Raises ``INVALID_VALUE``, ``CANNOT_CHANGE_PIF_PROPERTIES``."""
    pif = call.db.row("PIF", ref)
    if pif["VLAN"] >= 0:
        raise XapiFailure("CANNOT_CHANGE_PIF_PROPERTIES", ref)
    if (name, value) not in (("gro", "on"), ("gro", "off")):
        raise XapiFailure("INVALID_VALUE", "properties", f"{name} = {value}")
    call.db.set("PIF", ref, "properties", {**pif["properties"], name: value})


async def introduce(call: Call, host: str, mac: str, device: str, managed: bool) -> str:
    """A device that a host has and the pool forgot; its network is made. Raises ``MAC_INVALID``,
    ``DUPLICATE_PIF_DEVICE_NAME``."""
    if not _MAC.fullmatch(mac):
        raise XapiFailure("MAC_INVALID", mac)
    pifs = [call.db.row("PIF", ref) for ref in call.db.row("host", host)["PIFs"]]
    if any(pif["device"] == device and pif["physical"] for pif in pifs):
        raise XapiFailure("DUPLICATE_PIF_DEVICE_NAME", device)
    bridge = f"xenbr{device.removeprefix('eth')}"
    known = (row.ref for row in call.db.rows("network") if row["bridge"] == bridge)
    network = next(known, None) or call.pool.create(
        "network", name_label=f"Pool-wide network associated with {device}", bridge=bridge, MTU=1500
    )
    return call.pool.create(
        "PIF",
        device=device,
        network=network,
        host=host,
        MAC=mac.lower(),
        MTU=1500,
        VLAN=-1,
        physical=True,
        managed=managed,
        metrics=call.pool.create("PIF_metrics", last_updated=call.pool.now(), carrier=True),
        ip_configuration_mode="None",
        primary_address_type="IPv4",
    )


async def set_bond_property(call: Call, ref: str, name: str, value: str) -> None:
    """Raises ``INVALID_VALUE`` for a property that no bond has."""
    if name not in _BOND_PROPERTIES:
        raise XapiFailure("INVALID_VALUE", "properties", f"{name} = {value}")
    properties = call.db.row("Bond", ref)["properties"]
    call.db.set("Bond", ref, "properties", {**properties, name: value})
