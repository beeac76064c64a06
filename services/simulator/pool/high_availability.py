"""What high availability writes down: its disks, who hears whom, how many hosts may fail (xapi:
ocaml/xapi/xapi_ha.ml, xapi_ha_vm_failover.ml, xha_statefile.ml, xha_metadata_vdi.ml).
"""

from collections.abc import Iterable, Iterator, Sequence

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations, placement, vdi_rules
from services.simulator.pool.disks import add_vdi
from services.simulator.pool.pool import Pool, disk_work

_MIB = 1024**2
_STATEFILE = ("ha_statefile", "Statefile for HA", "Used for storage heartbeating", 65 * 4096)
_REDO_LOG = ("redo_log", "Metadata for HA", "Used for master failover", 256 * _MIB)
"""Type, name, description, least size in bytes."""


async def enable(pool: Pool, srs: Sequence[str], configuration: dict[str, str]) -> None:
    """With the first of ``srs``, of all that can when there are none. Raises ``HA_IS_ENABLED``,
    ``LICENCE_RESTRICTION``, ``HOST_OFFLINE``, ``CANNOT_CREATE_STATE_FILE``, what ``check_storage`` does.
    """
    row = pool.db.only("pool")
    if row["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")
    if row["restrictions"].get("enable_xha") == "false":
        raise XapiFailure("LICENCE_RESTRICTION", "HA")
    for host in pool.hosts:
        if not _is_live(pool, host):
            raise XapiFailure("HOST_OFFLINE", host)
    chosen = next(iter(srs), None) or next(_able(pool), None)
    if chosen is None:
        raise XapiFailure("CANNOT_CREATE_STATE_FILE")
    check_storage(pool, chosen)
    statefile = await _disk(pool, chosen, *_STATEFILE)
    await _disk(pool, chosen, *_REDO_LOG)
    await pool.disks[chosen].follow()
    about = {"ha_statefiles": [statefile], "ha_configuration": configuration, "ha_plan_exists_for": 0}
    pool.db.update("pool", row.ref, ha_enabled=True, **about)
    update(pool)
    _refresh_disks(pool)


def disable(pool: Pool) -> None:
    """Its disks stay for the next time, and so does what the pool and its hosts say of them. Raises
    ``HA_NOT_ENABLED``.
    """
    row = pool.db.only("pool")
    if not row["ha_enabled"]:
        raise XapiFailure("HA_NOT_ENABLED")
    pool.db.update("pool", row.ref, ha_enabled=False, ha_plan_exists_for=0)
    _refresh_disks(pool)


def check_storage(pool: Pool, sr: str) -> None:
    """Every host must see it. Raises ``SR_HAS_NO_PBDS``, ``SR_OPERATION_NOT_SUPPORTED``."""
    row = pool.db.row("SR", sr)
    pbds = [pool.db.row("PBD", pbd) for pbd in row["PBDs"]]
    if {pbd["host"] for pbd in pbds if pbd["currently_attached"]} != set(pool.hosts):
        raise XapiFailure("SR_HAS_NO_PBDS", sr)
    if not row["shared"] or "VDI_GENERATE_CONFIG" not in vdi_rules.sm_features(pool.db, sr):
        raise XapiFailure("SR_OPERATION_NOT_SUPPORTED", sr)


def protected_vms(pool: Pool) -> list[Row]:
    """Those that are restarted as long as there is room."""
    vms = (vm for vm in pool.db.rows("VM") if vm["ha_restart_priority"] == "restart")
    return [vm for vm in vms if not vm["is_a_snapshot"]]


def tolerable(pool: Pool, protected: Iterable[Row]) -> int:
    """Hosts that may fail, the roomiest first, while memory for the protected VMs is left. None may when one
    of them runs in few places only.
    """
    vms = list(protected)
    rooms = sorted(_room(pool, host) for host in pool.hosts if _is_live(pool, host))
    needed = sum(vm["memory_static_max"] + placement.memory_overhead(vm) for vm in vms)
    tolerated = 0
    while len(rooms) > 1 and sum(rooms[:-1]) >= needed and all(_is_agile(pool, vm) for vm in vms):
        rooms.pop()
        tolerated += 1
    return tolerated


def plan_exists(pool: Pool, failures: int) -> bool:
    """Whether all protected VMs would run after so many failures."""
    vms = protected_vms(pool)
    rooms = [_room(pool, host) for host in pool.hosts if _is_live(pool, host)]
    needed = sum(vm["memory_static_max"] + placement.memory_overhead(vm) for vm in vms)
    fits = sum(rooms) >= needed and all(_is_agile(pool, vm) for vm in vms)
    return fits and failures <= tolerable(pool, vms)


def set_failures_to_tolerate(pool: Pool, failures: int) -> None:
    """Raises ``INVALID_VALUE``, ``HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN`` when there is a plan and would be
    none.
    """
    row = pool.db.only("pool")
    if failures < 0:
        raise XapiFailure("INVALID_VALUE", "ha_host_failures_to_tolerate", str(failures))
    planned = row["ha_plan_exists_for"]
    bound = planned > 0 and row["ha_enabled"] and not row["ha_allow_overcommit"]
    if bound and plan_exists(pool, planned) and not plan_exists(pool, failures):
        raise XapiFailure("HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN")
    pool.db.set("pool", row.ref, "ha_host_failures_to_tolerate", failures)
    _update_plan(pool)


def update(pool: Pool) -> None:
    """A host came or went, or a VM is protected or not any more; nothing while it is disabled."""
    row = pool.db.only("pool")
    if not row["ha_enabled"]:
        return
    live = [host for host in pool.hosts if _is_live(pool, host)]
    peers = [pool.hosts[host].uuid for host in live]
    for host in pool.hosts:
        if host in live:
            pool.db.update("host", host, ha_statefiles=row["ha_statefiles"], ha_network_peers=peers)
        else:
            pool.db.set("host", host, "ha_statefiles", [])
    _update_plan(pool)


def _update_plan(pool: Pool) -> None:
    """Also when it is disabled, as in xapi (``update_pool_status``)."""
    row = pool.db.only("pool")
    wanted, planned = row["ha_host_failures_to_tolerate"], row["ha_plan_exists_for"]
    if plan_exists(pool, wanted):
        pool.db.update("pool", row.ref, ha_overcommitted=False, ha_plan_exists_for=wanted)
        return
    possible = tolerable(pool, protected_vms(pool))
    pool.db.set("pool", row.ref, "ha_plan_exists_for", min(wanted, possible))
    if possible < planned:
        pool.messages.create("HA_POOL_DROP_IN_PLAN_EXISTS_FOR", "Pool", row["uuid"], str(possible))
    if not row["ha_overcommitted"]:
        pool.db.set("pool", row.ref, "ha_overcommitted", True)
        body = (
            f"The failover tolerance for pool '{row['name_label']}' has dropped and the initially specified "
            "number of host failures to tolerate can no longer be guaranteed"
        )
        pool.messages.create("HA_POOL_OVERCOMMITTED", "Pool", row["uuid"], body)


def _able(pool: Pool) -> Iterator[str]:
    for sr in pool.db.rows("SR"):
        try:
            check_storage(pool, sr.ref)
        except XapiFailure:
            continue
        yield sr.ref


async def _disk(pool: Pool, sr: str, type_: str, name: str, description: str, size: int) -> str:
    """One that is there already is used again."""
    for vdi in (pool.db.row("VDI", ref) for ref in pool.db.row("SR", sr)["VDIs"]):
        if vdi["type"] == type_ and vdi["virtual_size"] >= size:
            return vdi.ref
    node = await disk_work(pool.repository(sr).create_disk, pool.ids.new(), size)
    about = {"name_label": name, "name_description": description, "type": type_, "sharable": True}
    return add_vdi(pool, sr, node, **about, sm_config={"type": "raw"})


def _refresh_disks(pool: Pool) -> None:
    for vdi in pool.db.rows("VDI"):
        if vdi["type"] in vdi_rules.OF_HIGH_AVAILABILITY:
            allowed_operations.refresh(pool.db, "VDI", vdi.ref)


def _is_live(pool: Pool, host: str) -> bool:
    row = pool.db.row("host", host)
    lives = bool(pool.db.row("host_metrics", row["metrics"])["live"])
    return lives and (pool.hears(pool.hosts[host]) or not pool.running)


def _is_agile(pool: Pool, vm: Row) -> bool:
    try:
        placement.check_agile(pool, vm)
    except XapiFailure:
        return False
    return True


def _room(pool: Pool, host: str) -> int:
    """Bytes a host has for VMs that are protected."""
    row = pool.db.row("host", host)
    residents = [pool.db.row("VM", vm) for vm in row["resident_VMs"]]
    protected = sum(vm["memory_static_max"] for vm in residents if vm["ha_restart_priority"] == "restart")
    return placement.free_memory(pool, host) + int(protected)
