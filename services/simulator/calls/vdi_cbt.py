"""Changed-block tracking (xapi: ocaml/xapi/xapi_vdi.ml; sm: libs/sm/VDI.py)."""

import asyncio

from services.simulator.database.database import Change
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations, vdi_rules
from services.simulator.pool.operations import vdi_operation
from services.simulator.pool.pool import disk_work

UNPLUG_PATIENCE_S = 4.0
"""How long data_destroy waits for the disk's VBDs to go (recorded: 4.5 s)."""


async def enable_cbt(call: Call, ref: str) -> None:
    """Idempotent, also while the VM runs. Raises ``OPERATION_NOT_ALLOWED``, ``VDI_INCOMPATIBLE_TYPE``,
    ``LICENCE_RESTRICTION``."""
    if call.db.only("pool")["restrictions"].get("restrict_cbt") == "true":
        raise XapiFailure("LICENCE_RESTRICTION", "CBT")
    await _configure(call, ref, "enable_cbt")


async def disable_cbt(call: Call, ref: str) -> None:
    """The chain of logs ends here; older snapshots stay comparable with each other."""
    await _configure(call, ref, "disable_cbt")


async def _configure(call: Call, ref: str, name: str) -> None:
    db = call.db
    vdi = db.row("VDI", ref)
    if vdi["is_a_snapshot"] and vdi["type"] != "cbt_metadata":
        raise XapiFailure("OPERATION_NOT_ALLOWED", f"VDI is a snapshot: {ref}")
    if vdi["type"] not in ("user", "system"):
        raise XapiFailure("VDI_INCOMPATIBLE_TYPE", ref, vdi_rules.TYPE_NAMES[vdi["type"]])
    if vdi["on_boot"] == "reset":
        raise XapiFailure("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION")
    repository = call.pool.repository(vdi["SR"])
    async with vdi_operation(call, ref, name):
        enabling = name == "enable_cbt"
        await disk_work(repository.enable_cbt if enabling else repository.disable_cbt, vdi["uuid"])
        attached = any(
            vbd["currently_attached"] and vbd["mode"] == "RW"
            for vbd in (db.row("VBD", vbd_ref) for vbd_ref in vdi["VBDs"])
        )
        if enabling and attached and not vdi["cbt_enabled"]:
            await disk_work(repository.activate, vdi["uuid"])
        db.set("VDI", ref, "cbt_enabled", enabling)


async def list_changed_blocks(call: Call, from_ref: str, to_ref: str) -> str:
    """Base64, one bit per 64 KiB of the second disk. Raises ``VDI_IN_USE``, ``SR_BACKEND_FAILURE_460``."""
    db = call.db
    before, after = db.row("VDI", from_ref), db.row("VDI", to_ref)
    repository = call.pool.repository(after["SR"])
    name = "list_changed_blocks"
    async with vdi_operation(call, to_ref, name):
        return await disk_work(repository.list_changed_blocks, before["uuid"], after["uuid"])


async def data_destroy(call: Call, ref: str) -> None:
    """Free the data of a snapshot and keep its log; nothing happens when that was done before.

    Raises ``OPERATION_NOT_ALLOWED``, ``VDI_NO_CBT_METADATA``, ``VDI_IN_USE``.
    """
    db = call.db
    vdi = db.row("VDI", ref)
    if vdi["type"] == "cbt_metadata":
        return
    if not vdi["is_a_snapshot"]:
        raise XapiFailure("OPERATION_NOT_ALLOWED", f"VDI is not a snapshot: {ref}")
    if not vdi["cbt_enabled"]:
        raise XapiFailure("VDI_NO_CBT_METADATA", ref)
    repository = call.pool.repository(vdi["SR"])
    async with vdi_operation(call, ref, "data_destroy"):
        old_type = vdi["type"]
        db.set("VDI", ref, "type", "cbt_metadata")
        try:
            await _until_unplugged(call, ref)
            await disk_work(repository.data_destroy, vdi["uuid"])
        except BaseException:
            db.set("VDI", ref, "type", old_type)
            raise
    await call.pool.disks[vdi["SR"]].follow()
    call.pool.disks[vdi["SR"]].coalesce_soon()
    allowed_operations.refresh(db, "VDI", ref)


async def _until_unplugged(call: Call, ref: str) -> None:
    changed = asyncio.Event()

    def listen(change: Change) -> None:
        if change.row.ref == ref:
            changed.set()

    forget = call.db.listen(listen)
    deadline = call.pool.clock.monotonic() + UNPLUG_PATIENCE_S
    try:
        while call.db.row("VDI", ref)["VBDs"]:
            changed.clear()
            await call.pool.clock.wait(changed.wait(), deadline - call.pool.clock.monotonic())
    except TimeoutError:
        raise XapiFailure("VDI_IN_USE", ref, "data_destroy") from None
    finally:
        forget()
