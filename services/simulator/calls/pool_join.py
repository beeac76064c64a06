"""pool.join: a pool of one host becomes a member of another pool (xapi: ocaml/xapi/xapi_pool.ml).

The host goes over in two steps: while it still answers the other pool makes its records; a moment later it
stops, the other pool boots it at its address, and gets its storage and its VMs. A host whose process dies
between the two is a dead member there.
"""

import asyncio
import logging

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import membership, remote_pool
from services.simulator.pool.failures import FUSE_S
from services.simulator.pool.host import Host
from services.simulator.pool.remote_pool import RemotePool
from services.simulator.transfers import newcomers, ova, tar

_log = logging.getLogger(__name__)
_RESTRICTED_SIZE = 3
"""Hosts of a pool whose licence restricts them (xapi: xapi_globs.ml ``restricted_pool_size``)."""
_NBD = {"nbd", "insecure_nbd"}


async def join(call: Call, address: str, user: str, password: str) -> None:
    """Raises ``JOINING_HOST_CONNECTION_FAILED``, ``HOST_IS_SLAVE``, ``SESSION_AUTHENTICATION_FAILED``, and
    what keeps the two apart: ``JOINING_HOST_CANNOT_HAVE_RUNNING_VMS`` and others.
    """
    await _join(call, address, user, password, force=False)


async def join_force(call: Call, address: str, user: str, password: str) -> None:
    """Also where versions and processors differ."""
    await _join(call, address, user, password, force=True)


async def _join(call: Call, address: str, user: str, password: str, *, force: bool) -> None:
    remote = RemotePool(remote_pool.url(address, call.pool.description.https_port))
    try:
        await asyncio.to_thread(remote.log_in, user, password)
    except XapiFailure as failure:
        if failure.code == "CANNOT_CONTACT_HOST":
            raise XapiFailure("JOINING_HOST_CONNECTION_FAILED") from failure
        raise
    there = await asyncio.to_thread(_There, remote)
    _check(call, there, force)
    host = call.pool.coordinator
    body = _member(call, host).model_dump_json().encode()
    ref = await asyncio.to_thread(remote.put, newcomers.MEMBER, {}, [body], len(body))
    call.pool.background(_go_over(call, host, remote, str(ref)))


async def _go_over(call: Call, host: Host, remote: RemotePool, ref: str) -> None:
    """What fails here is told of in the log: whoever asked has had an answer, as with xapi."""
    pool = call.pool
    await pool.clock.sleep(FUSE_S)
    vms = [vm for vm in pool.db.rows("VM") if _goes_along(vm)]
    text = ova.write(pool, vms, ova.Scope(snapshots=True, power_state=True)).text if vms else b""
    hello = membership.HelloTold(host=ref, storage=membership.storage_of(pool, host.ref))
    await pool.stop_work()
    await host.power_off()
    pool.repositories, pool.disks, pool.hosts = {}, {}, {}
    body = hello.model_dump_json().encode()
    archive = tar.header("ova.xml", len(text)) + tar.padded(text) + tar.END
    try:
        await asyncio.to_thread(remote.put, newcomers.HELLO, {}, [body], len(body))
        if vms:
            query = {"restore": "true", "force": "true"}
            await asyncio.to_thread(remote.put, "/import_metadata", query, [archive], len(archive))
        await asyncio.to_thread(remote.call, "session.logout")
    except XapiFailure as failure:
        _log.error("host %s joined the pool at %s, but not all of it: %s", host.name, remote.address, failure)


def _goes_along(vm: Row) -> bool:
    return not (vm["is_control_domain"] or vm["is_default_template"] or vm["is_a_snapshot"])


def _member(call: Call, host: Host) -> membership.MemberTold:
    row = call.db.row("host", host.ref)
    return membership.MemberTold(
        uuid=host.uuid,
        machine=host.machine.model_copy(update={"name": row["name_label"]}),
        secret=host.certificate.path.read_text("ascii"),
        https_port=call.pool.description.https_port,
        nbd_port=call.pool.description.nbd_port,
    )


class _There:
    """The other pool as it is now. Making one blocks."""

    def __init__(self, remote: RemotePool) -> None:
        (self.pool,) = remote.call("pool.get_all_records").values()
        self.hosts = remote.call("host.get_all_records")
        self.coordinator = self.hosts[self.pool["master"]]
        networks = remote.call("network.get_all_records").values()
        self.purposes = {purpose for network in networks for purpose in network.get("purpose", ())}


def _check(call: Call, there: _There, force: bool) -> None:
    """In xapi's order (``pre_join_checks``)."""
    db, mine = call.db, call.db.row("host", call.pool.coordinator.ref)
    restricted = db.only("pool")["restrictions"].get("restrict_pool_size") == "true"
    if restricted and len(there.hosts) >= _RESTRICTED_SIZE:
        raise XapiFailure("LICENCE_RESTRICTION", "Pool_size")
    if db.only("pool")["ha_enabled"] or there.pool["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")
    if mine["uuid"] == there.coordinator["uuid"]:
        alone = len(call.pool.hosts) == 1
        why = "Host cannot become slave of itself" if alone else "Host is already part of a pool"
        raise XapiFailure("OPERATION_NOT_ALLOWED", why)
    if len(call.pool.hosts) > 1:
        raise XapiFailure("JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS")
    vms = [vm for vm in db.rows("VM") if not vm["is_control_domain"]]
    if any(vm["power_state"] == "Running" for vm in vms):
        raise XapiFailure("JOINING_HOST_CANNOT_HAVE_RUNNING_VMS")
    if any(vm["current_operations"] for vm in vms):
        raise XapiFailure("JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS")
    if not force:
        _check_alike(mine, there)
    if any(sr["shared"] and not sr["is_tools_sr"] for sr in db.rows("SR")):
        raise XapiFailure("JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS")
    if db.rows("Bond"):
        raise XapiFailure("POOL_JOINING_HOST_HAS_BONDS")
    if db.rows("VLAN"):
        raise XapiFailure("POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS")
    versions = [f"{row['API_version_major']}.{row['API_version_minor']}" for row in (mine, there.coordinator)]
    if versions[0] != versions[1]:
        raise XapiFailure("POOL_JOINING_HOST_MUST_HAVE_SAME_API_VERSION", *versions)
    purposes = {purpose for network in db.rows("network") for purpose in network["purpose"]}
    if len((purposes | there.purposes) & _NBD) > 1:
        raise XapiFailure("OPERATION_NOT_ALLOWED", "Incompatible network purposes: nbd and insecure_nbd")


def _check_alike(mine: Row, there: _There) -> None:
    for name in ("platform_version", "product_brand", "xapi"):
        if mine["software_version"][name] != there.coordinator["software_version"][name]:
            raise XapiFailure("POOL_HOSTS_NOT_HOMOGENEOUS", "Software version differs")
    if mine["cpu_info"]["vendor"] != there.pool["cpu_info"]["vendor"]:
        raise XapiFailure("POOL_HOSTS_NOT_HOMOGENEOUS", "CPUs differ")
