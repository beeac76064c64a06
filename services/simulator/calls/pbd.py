"""Calls of class PBD (xapi: ocaml/xapi/xapi_pbd.ml)."""

from typing import Any

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations
from services.simulator.pool.disks import Disks
from services.simulator.pool.pool import disk_work
from services.simulator.pool.shelf import place


async def create(call: Call, record: dict[str, Any]) -> str:
    """Raises ``PBD_EXISTS``."""
    call.db.row("host", record["host"])
    for ref in call.db.row("SR", record["SR"])["PBDs"]:
        if call.db.row("PBD", ref)["host"] == record["host"]:
            raise XapiFailure("PBD_EXISTS", record["SR"], record["host"], ref)
    return call.pool.create("PBD", **record | {"currently_attached": False})


async def destroy(call: Call, ref: str) -> None:
    """Raises ``OPERATION_NOT_ALLOWED`` while it is plugged."""
    if call.db.row("PBD", ref)["currently_attached"]:
        raise XapiFailure("OPERATION_NOT_ALLOWED", "PBD is currently attached")
    call.db.delete("PBD", ref)


async def plug(call: Call, ref: str) -> None:
    """The host sees the SR from now on, and the pool what is in it. Raises ``HOST_OFFLINE``,
    ``SR_BACKEND_FAILURE_47`` when there is no such SR.
    """
    pbd = call.db.row("PBD", ref)
    if pbd["currently_attached"]:
        return
    if not call.pool.hosts[pbd["host"]].alive:
        raise XapiFailure("HOST_OFFLINE", pbd["host"])
    sr = call.db.row("SR", pbd["SR"])
    if sr.ref not in call.pool.repositories:
        where = await disk_work(place, sr["type"], pbd["device_config"], pbd["host"])
        call.pool.repositories[sr.ref] = await disk_work(call.pool.shelf.open, sr["uuid"], where)
        call.pool.disks[sr.ref] = Disks(call.pool, sr.ref)
    _set_attached(call, ref, True)
    await call.pool.disks[sr.ref].follow(adopt=True)


async def unplug(call: Call, ref: str) -> None:
    """Raises ``VDI_IN_USE`` while a VM on that host uses a disk of the SR, ``HA_IS_ENABLED`` while the hosts
    do.
    """
    pbd = call.db.row("PBD", ref)
    pool = call.db.only("pool")
    if pool["ha_enabled"] and set(pool["ha_statefiles"]) & set(call.db.row("SR", pbd["SR"])["VDIs"]):
        raise XapiFailure("HA_IS_ENABLED")
    for vdi in (call.db.row("VDI", vdi) for vdi in call.db.row("SR", pbd["SR"])["VDIs"]):
        for vbd in (call.db.row("VBD", vbd) for vbd in vdi["VBDs"]):
            if vbd["currently_attached"] and call.db.row("VM", vbd["VM"])["resident_on"] == pbd["host"]:
                raise XapiFailure("VDI_IN_USE", ref, vdi.ref)
    _set_attached(call, ref, False)


def _set_attached(call: Call, ref: str, value: bool) -> None:
    call.db.set("PBD", ref, "currently_attached", value)
    sr = call.db.row("PBD", ref)["SR"]
    allowed_operations.refresh(call.db, "SR", sr)
    for vdi in call.db.row("SR", sr)["VDIs"]:
        allowed_operations.refresh(call.db, "VDI", vdi)
