"""VM.migrate_send to another pool: the VM is gone here and is there (xapi: ocaml/xapi/xapi_vm_migrate.ml).

Disks go first, under new uuids; then the records, as an export that says in ``maps_to`` what each disk,
network and GPU group is over there; last the memory of a running VM. Until then nothing changes here, and
what was made there is taken away again; when this toolstack dies meanwhile, it stays there, as with xapi.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from services.simulator.calls import emigration_rules
from services.simulator.calls import vdi as vdi_calls
from services.simulator.calls.emigration_rules import Emigration, Wish
from services.simulator.calls.storage_motion import mirroring
from services.simulator.calls.vdi_copies import copied_fields
from services.simulator.calls.vm import destroy_record
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import domains, image_formats
from services.simulator.pool.operations import vm_operation
from services.simulator.pool.pool import disk_work
from services.simulator.transfers import arrivals, ova, tar
from services.simulator.transfers.disk_sending import send_disk

__all__ = ["Wish", "check", "send"]
_log = logging.getLogger(__name__)
_MAPS_TO = "maps_to"
"""Where an export says what an object is there (xapi: constants.ml ``storage_migrate_vdi_map_key``)."""
Map = dict[str, str]


async def check(call: Call, vm: Row, wish: Wish) -> None:
    """Raises what ``send`` would before it begins."""
    await _send_records(call, await emigration_rules.plan(call, vm, wish), {}, dry_run=True)


async def send(call: Call, vm_ref: str, wish: Wish) -> str:
    """The VM's reference in the other pool. It and its snapshots keep uuid, MACs and name; with the option
    ``copy`` they stay, and a VM like it, with uuid and MACs of its own, is there.

    Raises what ``emigration_rules.plan`` does, what the other pool answers, and ``TASK_CANCELLED``.
    """
    async with vm_operation(call, vm_ref, "migrate_send"), call.pool.guests_may_write:
        vm = call.db.row("VM", vm_ref)
        plan = await emigration_rules.plan(call, vm, wish)
        await _send_records(call, plan, {}, dry_run=True)
        async with AsyncExitStack() as held:
            for vdi in plan.disks:
                await held.enter_async_context(mirroring(call, vdi))
            new = await _send(call, plan)
        if not plan.copy:
            await _send_messages(call, plan)
            await _leave(call, plan)
    return new


async def _send(call: Call, plan: Emigration) -> str:
    disks: Map = {}
    new = ""
    try:
        await _send_disks(call, plan, disks)
        call.pool.tasks.check(call.task)
        (new,) = await _send_records(call, plan, disks, dry_run=False)
        if plan.vm["power_state"] in ("Running", "Paused"):
            query = {"vm": new, "host": plan.host}
            body = arrivals.memory_document(call.pool, plan.vm)
            await asyncio.to_thread(plan.receiver.put, arrivals.MEMORY, query, [body], len(body))
    except XapiFailure:
        await asyncio.to_thread(_undo, plan, new, disks)
        raise
    return new


async def _send_disks(call: Call, plan: Emigration, made: Map) -> None:
    """Copies by reference, each noted in ``made`` as soon as it exists."""
    rows = [call.db.row("VDI", ref) for ref in plan.disks]
    total, gone = sum(row["virtual_size"] for row in rows), 0
    for row in rows:
        record = {**copied_fields(row), "tags": row["tags"], "sharable": row["sharable"]}
        record |= {"SR": plan.disks[row.ref], "virtual_size": row["virtual_size"]}
        if row.ref in plan.formats:
            record["sm_config"] = {image_formats.KEY: plan.formats[row.ref]}
        made[row.ref] = await asyncio.to_thread(plan.remote.call, "VDI.create", record)
        disk = await disk_work(call.pool.repository(row["SR"]).disk, row["uuid"])
        with _watcher(call, gone, total) as watch:
            await asyncio.to_thread(send_disk, plan.receiver, disk, made[row.ref], watch)
        gone += row["virtual_size"]
    snapshots = [row for row in rows if row["is_a_snapshot"] and row["snapshot_of"] in made]
    if snapshots:
        body = arrivals.snapshots_document(snapshots, made)
        await asyncio.to_thread(plan.receiver.put, arrivals.SNAPSHOTS, {}, [body], len(body))


@contextmanager
def _watcher(call: Call, before: int, total: int) -> Iterator[Callable[[int], None]]:
    """Tells the task, from the thread that sends, how far it is; ends it when nobody waits for it."""
    loop, tasks = asyncio.get_running_loop(), call.pool.tasks
    cancelled, abandoned = tasks.cancelled(call.task), threading.Event()

    def watch(sent: int) -> None:
        if cancelled.is_set() or abandoned.is_set():
            raise XapiFailure("TASK_CANCELLED", call.task)
        loop.call_soon_threadsafe(tasks.progress, call.task, (before + sent) / (total + 1))

    try:
        yield watch
    finally:
        abandoned.set()


async def _send_records(call: Call, plan: Emigration, disks: Map, *, dry_run: bool) -> list[str]:
    """References of the VMs that were made; none by a dry run."""
    scope = ova.Scope(snapshots=not plan.copy, power_state=True)
    with _mapped(call, "VDI", disks), _mapped(call, "VIF", plan.networks), _mapped(call, "VGPU", plan.gpus):
        text = ova.write(call.pool, [plan.vm], scope).text
    body = tar.header("ova.xml", len(text)) + tar.padded(text) + tar.END
    query = {"live": "true", "restore": str(not plan.copy).lower(), "dry_run": str(dry_run).lower()}
    made = await asyncio.to_thread(plan.receiver.put, "/import_metadata", query, [body], len(body))
    return list(made)


async def _send_messages(call: Call, plan: Emigration) -> None:
    """The VM is there by now, so that a failure changes nothing: it is told of in the log, as with xapi."""
    body = arrivals.messages_document(call.pool, plan.vm["uuid"])
    query = {"cls": "VM", "uuid": plan.vm["uuid"]}
    try:
        await asyncio.to_thread(plan.remote.put, arrivals.MESSAGES, query, [body], len(body))
    except XapiFailure as failure:
        _log.warning("messages about VM %s stay behind: %s", plan.vm["uuid"], failure)


@contextmanager
def _mapped(call: Call, cls: str, there: Map) -> Iterator[None]:
    """Objects say what they are in the other pool, for as long as they are written down."""
    before = {ref: call.db.row(cls, ref)["other_config"] for ref in there}
    for ref, config in before.items():
        call.db.set(cls, ref, "other_config", {**config, _MAPS_TO: there[ref]})
    try:
        yield
    finally:
        for ref, config in before.items():
            call.db.set(cls, ref, "other_config", config)


def _undo(plan: Emigration, vm: str, disks: Map) -> None:
    """Take away what was made there. What cannot be is told of in the log: the first failure counts."""
    steps: list[tuple[str, Any]] = []
    if vm:
        steps += [("VM.hard_shutdown", vm), ("VM.destroy", vm)]
    for method, ref in [*steps, *(("VDI.destroy", disk) for disk in disks.values())]:
        try:
            plan.remote.call(method, ref)
        except XapiFailure as failure:
            if failure.code != "VM_BAD_POWER_STATE":
                _log.warning("%s of %s in the pool at %s: %s", method, ref, plan.remote.address, failure)


async def _leave(call: Call, plan: Emigration) -> None:
    """The VM, its snapshots and their disks are gone from here."""
    db = call.db
    rows = {ref: db.row("VDI", ref) for ref in plan.disks}
    await domains.stopped(call.pool, plan.vm.ref)
    call.pool.guests.pop(plan.vm["uuid"], None)
    for vm in [*plan.vm["snapshots"], plan.vm.ref]:
        destroy_record(call, vm)
    for ref, row in rows.items():
        await disk_work(call.pool.repository(row["SR"]).destroy, row["uuid"])
        vdi_calls.forget_record(call, ref)
    for sr in dict.fromkeys(row["SR"] for row in rows.values()):
        await call.pool.disks[sr].follow()
        call.pool.disks[sr].coalesce_soon()
