"""pool.eject: a member becomes a pool of its own, as newly installed (xapi: ocaml/xapi/xapi_pool.ml)."""

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure, internal_error
from services.simulator.pool import membership
from services.simulator.pool.description import (
    PoolDescription,
    StorageDescription,
    UserDescription,
)
from services.simulator.pool.failures import FUSE_S
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool, disk_work


async def eject(call: Call, ref: str) -> None:
    """What the host had on its own disks is gone for ever. Returns before it reboots.

    Raises ``HA_IS_ENABLED``, ``INTERNAL_ERROR`` for the coordinator, ``HOST_OFFLINE``, and
    ``OPERATION_NOT_ALLOWED`` while VMs run on it.
    """
    pool, row = call.pool, call.db.row("host", ref)
    host = pool.hosts[ref]
    if call.db.only("pool")["ha_enabled"]:
        raise XapiFailure("HA_IS_ENABLED")
    if host is pool.coordinator:
        raise internal_error("Xapi_pool.Cannot_eject_master")
    if not pool.hears(host):
        raise XapiFailure("HOST_OFFLINE", ref)
    if any(not call.db.row("VM", vm)["is_control_domain"] for vm in row["resident_VMs"]):
        raise XapiFailure("OPERATION_NOT_ALLOWED", "VM resident on host")
    alone = _alone(pool, host, row)
    doomed = membership.local_storage(pool, ref)
    for sr in doomed:
        membership.drop_storage(pool, sr)
    membership.forget_host(pool, ref)
    pool.background(_settle(pool, host, alone, [sr["uuid"] for sr in doomed]))


async def _settle(pool: Pool, host: Host, alone: PoolDescription, storage: list[str]) -> None:
    await pool.clock.sleep(FUSE_S)
    await host.power_off()
    pool.strangers.remove(host)
    for uuid in storage:
        await disk_work(pool.shelf.wipe, uuid)
    await pool.found(alone)


def _alone(pool: Pool, host: Host, row: Row) -> PoolDescription:
    """The same machine, ports and users; empty local storage."""
    machine = host.machine.model_copy(update={"name": row["name_label"]})
    users = [
        UserDescription(name=user.name, password=user.password, role=user.role)
        for user in pool.sessions.users
    ]
    changes = {
        "name": "",
        "data_dir": pool.data_dir / f"ejected-{pool.ids.new()}",
        "control_socket": None,
        "users": users,
        "hosts": [machine],
        "storage": [StorageDescription(name="Local storage", type="ext", host=machine.name)],
        "default_storage": None,
        "vms": [],
        "ha_enabled": False,
    }
    return pool.description.model_copy(update=changes)
