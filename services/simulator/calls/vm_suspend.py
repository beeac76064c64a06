"""Memory images: VM.suspend and VM.resume (xapi: ocaml/xapi/xapi_xenops.ml)."""

from services.simulator.calls import vdi
from services.simulator.calls.vm_power import host_text, tell
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import (
    allowed_operations,
    attachments,
    consoles,
    domains,
    gpus,
    memory_image,
    placement,
)
from services.simulator.pool.operations import vm_operation
from services.simulator.pool.pool import disk_work


async def suspend(call: Call, vm_ref: str) -> None:
    """Raises ``VM_NO_SUSPEND_SR``."""
    async with vm_operation(call, vm_ref, "suspend"):
        await suspend_domain(call, vm_ref)
        tell(call, vm_ref, "VM_SUSPENDED", "suspended")


async def resume(call: Call, vm_ref: str, start_paused: bool, force: bool) -> None:
    await _resume(call, vm_ref, "resume", None, start_paused)


async def resume_on(call: Call, vm_ref: str, host: str, start_paused: bool, force: bool) -> None:
    await _resume(call, vm_ref, "resume_on", call.db.row("host", host).ref, start_paused)


async def _resume(call: Call, vm_ref: str, name: str, host: str | None, paused: bool) -> None:
    async with vm_operation(call, vm_ref, name):
        chosen = host or placement.choose_host(call.pool, call.db.row("VM", vm_ref))
        await _check_image(call, vm_ref)
        await attachments.attach_disks(call.pool, vm_ref)
        await resume_domain(call, vm_ref, chosen, "Paused" if paused else "Running")
        tell(call, vm_ref, "VM_RESUMED", f"resumed on host: {host_text(call, chosen)}")


async def _check_image(call: Call, vm_ref: str) -> None:
    """Raises ``HANDLE_INVALID`` without an image, ``INTERNAL_ERROR`` for one that is damaged."""
    image = call.db.row("VDI", call.db.row("VM", vm_ref)["suspend_VDI"])
    disk = await disk_work(call.pool.repository(image["SR"]).disk, image["uuid"])
    await disk_work(memory_image.check, disk)


async def suspend_domain(call: Call, vm_ref: str, *, for_a_moment: bool = False) -> None:
    """Write the memory to a disk and stop; the VM's own disks stay attached to nothing but stay in use.
    ``for_a_moment``: it stays resident where it is (xapi: ocaml/xapi/xapi_vm_lifecycle.ml
    ``force_state_reset_keep_current_operations``).

    Raises ``VM_NO_SUSPEND_SR``, ``SR_SUSPEND_SPACE_INSUFFICIENT``, ``VM_FAILED_SUSPEND_ACKNOWLEDGMENT``; then
    it runs on.
    """
    db = call.db
    vm = db.row("VM", vm_ref)
    sr = next((ref for ref in (vm["suspend_SR"], _pool_sr(call)) if ref != NULL_REF), None)
    if sr is None:
        raise XapiFailure("VM_NO_SUSPEND_SR", vm_ref)
    record = {
        "SR": sr,
        "name_label": "Suspend image",
        "name_description": "Suspend image",
        "type": "suspend",
        "virtual_size": vm["memory_static_max"],
        "other_config": {"content_id": call.pool.ids.new()},
    }
    usage = await disk_work(call.pool.repository(sr).usage)
    if usage.physical_size - usage.physical_utilisation < vm["memory_static_max"]:
        raise XapiFailure("SR_SUSPEND_SPACE_INSUFFICIENT", sr)
    call.pool.mishaps.check_suspend(vm_ref, vm["uuid"])
    await domains.hold_guest(call.pool, vm)
    try:
        image = await vdi.create(call, record)
    except XapiFailure:
        await domains.let_guest_go_on(call.pool, vm)
        raise
    disk = await disk_work(call.pool.repository(sr).disk, db.row("VDI", image)["uuid"])
    await disk_work(memory_image.write, disk, f"{vm['uuid']} {vm['domid']} {image}")
    await call.pool.disks[sr].follow()
    host = vm["resident_on"] if for_a_moment else NULL_REF
    db.update("VM", vm_ref, power_state="Suspended", suspend_VDI=image, resident_on=host, domid=-1)
    gpus.release(db, vm)
    consoles.follow(call.pool, vm_ref)
    allowed_operations.refresh_vm(db, vm_ref)


async def resume_domain(call: Call, vm_ref: str, host: str, power_state: str) -> None:
    """The VM runs on, and its image goes."""
    image = call.db.row("VM", vm_ref)["suspend_VDI"]
    await domains.started(call.pool, vm_ref, host, power_state)
    if power_state == "Running":
        await domains.let_guest_go_on(call.pool, call.db.row("VM", vm_ref))
    call.db.set("VM", vm_ref, "suspend_VDI", NULL_REF)
    if image != NULL_REF:
        await vdi.destroy(call, image)


def _pool_sr(call: Call) -> str:
    pool = call.db.only("pool")
    return str(pool["suspend_image_SR"] if pool["suspend_image_SR"] != NULL_REF else pool["default_SR"])
