"""Calls of networks, of hosts' interfaces, and of what is provisioned over them."""

from collections.abc import Mapping

from services.simulator.calls import (
    blobs,
    fleet,
    network,
    pif,
    plain_records,
    pvs,
    sdn,
)
from services.simulator.dispatch.call import CallFunction

CALLS: Mapping[str, CallFunction] = {
    "Bond.create": pif.bond_create,
    "Bond.destroy": pif.bond_destroy,
    "Bond.set_property": pif.set_bond_property,
    "PIF.create_VLAN": pif.create_vlan_here,
    "PIF.db_forget": plain_records.destroyer("PIF"),
    "PIF.destroy": pif.destroy,
    "PIF.forget": pif.forget,
    "PIF.introduce": pif.introduce,
    "PIF.plug": pif.plug,
    "PIF.reconfigure_ip": pif.reconfigure_ip,
    "PIF.reconfigure_ipv6": pif.reconfigure_ipv6,
    "PIF.scan": pif.scan,
    "PIF.set_property": pif.set_property,
    "PIF.unplug": pif.unplug,
    "PVS_cache_storage.create": pvs.cache_create,
    "PVS_cache_storage.destroy": plain_records.destroyer("PVS_cache_storage"),
    "PVS_proxy.create": pvs.proxy_create,
    "PVS_proxy.destroy": plain_records.destroyer("PVS_proxy"),
    "PVS_server.forget": plain_records.destroyer("PVS_server"),
    "PVS_server.introduce": pvs.server_introduce,
    "PVS_site.forget": pvs.site_forget,
    "PVS_site.introduce": pvs.site_introduce,
    "SDN_controller.forget": sdn.forget,
    "SDN_controller.introduce": sdn.introduce,
    "VLAN.create": pif.vlan_create,
    "VLAN.destroy": pif.vlan_destroy,
    "network.add_purpose": network.add_purpose,
    "network.create": network.create,
    "network.create_new_blob": blobs.creator("network"),
    "network.destroy": network.destroy,
    "network.remove_purpose": network.remove_purpose,
    "network_sriov.create": sdn.refuse_sriov,
    "tunnel.create": sdn.tunnel_create,
    "tunnel.destroy": sdn.tunnel_destroy,
    **fleet.all_of_none("network_sriov", ("destroy", "get_remaining_capacity")),
}
