"""Disks made from other disks."""

import asyncio
from typing import Any

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import attachments, image_formats
from services.simulator.pool.disks import add_vdi
from services.simulator.pool.operations import vdi_operation
from services.simulator.pool.pool import disk_work
from services.simulator.storage.ports import Progress

_COPIED = ("name_label", "name_description", "type", "read_only", "other_config", "xenstore_data")


async def snapshot(call: Call, vdi_ref: str, driver_params: dict[str, str]) -> str:
    """A read-write disk that shares what the source holds now; tags are not copied (recorded)."""
    return await _fork(call, vdi_ref, "snapshot")


async def clone(call: Call, vdi_ref: str, driver_params: dict[str, str]) -> str:
    """As a snapshot, for a life of its own: no tracking of changed blocks."""
    return await _fork(call, vdi_ref, "clone")


async def copy(call: Call, vdi_ref: str, sr: str, base: str, into: str) -> str:
    """A full copy in ``sr``, or the differences to ``base``, optionally into an existing disk.

    Raises ``VDI_TOO_SMALL``, ``VDI_READONLY``, ``SR_BACKEND_FAILURE_44``, and, when its task is cancelled,
    ``VDI_COPY_FAILED`` (recorded).
    """
    db = call.db
    vdi = db.row("VDI", vdi_ref)
    target_sr = db.row("VDI", into)["SR"] if into != NULL_REF else db.row("SR", sr).ref
    base_uuid = db.row("VDI", base)["uuid"] if base != NULL_REF else None
    _check_target(call, vdi, into)
    target = call.pool.repository(target_sr)
    async with vdi_operation(call, vdi_ref, "copy"):
        uuid = db.row("VDI", into)["uuid"] if into != NULL_REF else call.pool.ids.new()
        source = call.pool.repository(vdi["SR"])
        made = image_formats.choose(call.pool, target_sr, vdi["virtual_size"])
        node = await disk_work(source.copy, vdi["uuid"], target, uuid, base_uuid, _watcher(call), made)
    told = image_formats.told(call.pool, target_sr, node.image_format)
    copied = copied_fields(vdi) | {"sm_config": told}
    ref = into if into != NULL_REF else add_vdi(call.pool, target_sr, node, **copied)
    await call.pool.disks[target_sr].follow()
    call.pool.tasks.progress(call.task, 1.0)
    return ref


def _watcher(call: Call) -> Progress:
    """Tells the task, from the thread that copies, how far it is; ends the copy when it is cancelled."""
    loop, tasks = asyncio.get_running_loop(), call.pool.tasks
    cancelled = tasks.cancelled(call.task)

    def watch(fraction: float) -> None:
        if cancelled.is_set():
            raise XapiFailure("VDI_COPY_FAILED", f"Server_error(TASK_CANCELLED, [ {call.task} ])")
        loop.call_soon_threadsafe(tasks.progress, call.task, fraction)

    return watch


def _check_target(call: Call, vdi: Row, into: str) -> None:
    if into == NULL_REF:
        return
    target = call.db.row("VDI", into)
    if target["read_only"]:
        raise XapiFailure("VDI_READONLY", into)
    if target["virtual_size"] < vdi["virtual_size"]:
        raise XapiFailure("VDI_TOO_SMALL", into, str(vdi["virtual_size"]))


async def _fork(call: Call, vdi_ref: str, kind: str) -> str:
    db = call.db
    vdi = db.row("VDI", vdi_ref)
    if vdi["sharable"]:
        raise XapiFailure("VDI_IS_SHARABLE", vdi_ref)
    repository = call.pool.repository(vdi["SR"])
    async with vdi_operation(call, vdi_ref, kind):
        if kind == "snapshot":
            await attachments.lose_tracking(call.pool, vdi, "snapshot")
        uuid, base = call.pool.ids.new(), call.pool.ids.new()
        fork = repository.snapshot if kind == "snapshot" else repository.clone
        node = await disk_work(fork, vdi["uuid"], uuid, base)
        origin = {"is_a_snapshot": True, "snapshot_of": vdi_ref} if kind == "snapshot" else {}
        now = call.pool.now()
        ref = add_vdi(call.pool, vdi["SR"], node, **copied_fields(vdi), **origin, snapshot_time=now)
        await call.pool.disks[vdi["SR"]].follow()
    return ref


def copied_fields(vdi: Row) -> dict[str, Any]:
    """What a disk made from another takes over. Nothing of its sm_config, not even the format of its image
    (xcp-ng/sm: drivers/FileSR.py, FileVDI._snapshot).
    """
    return {field: vdi[field] for field in _COPIED}
