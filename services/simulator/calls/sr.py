"""Calls of classes SR and PBD (xapi: ocaml/xapi/xapi_sr.ml, xapi_pbd.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations


async def scan(call: Call, ref: str) -> None:
    """Raises ``SR_HAS_NO_PBDS``."""
    call.pool.repository(ref)
    await call.pool.disks[ref].follow()
    call.pool.disks[ref].coalesce_soon()


async def update(call: Call, ref: str) -> None:
    call.pool.repository(ref)
    await call.pool.disks[ref].follow()


async def get_supported_types(call: Call) -> list[str]:
    return [sm["type"] for sm in call.db.rows("SM")]


async def pbd_plug(call: Call, ref: str) -> None:
    _set_attached(call, ref, True)


async def pbd_unplug(call: Call, ref: str) -> None:
    """Raises ``VDI_IN_USE`` while a VM on that host uses a disk of the SR."""
    pbd = call.db.row("PBD", ref)
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
