"""Moving a disk to another SR (xapi: ocaml/xapi/xapi_vdi.ml ``pool_migrate``, xapi_vm_migrate.ml)."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from services.simulator.calls import vdi as vdi_calls
from services.simulator.calls.vdi_copies import copied_fields
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, domains, image_formats, vdi_rules
from services.simulator.pool.disks import add_vdi
from services.simulator.pool.operations import operation, vm_operation
from services.simulator.pool.pool import disk_work


async def pool_migrate(call: Call, ref: str, sr: str, options: dict[str, str]) -> str:
    """A running VM's disk, moved while it runs: a disk with another reference and uuid takes its place.

    Snapshots stay where they are and point at the new disk. Raises ``VDI_NEEDS_VM_FOR_MIGRATE``,
    ``VDI_CBT_ENABLED``, ``VDI_IN_USE`` while a guest has the disk open from outside, ``VM_REQUIRES_SR``.
    """
    vm = _user(call, ref)
    host = vm["resident_on"]
    if host != NULL_REF and not domains.sees(call.pool, host, call.db.row("SR", sr).ref):
        raise XapiFailure("VM_REQUIRES_SR", vm.ref, sr)
    wanted = {image_formats.KEY: options["dest-img-format"]} if "dest-img-format" in options else {}
    async with vm_operation(call, vm.ref, "migrate_send"), mirroring(call, ref), call.pool.guests_may_write:
        moved = await move(call, ref, sr, wanted)
    allowed_operations.refresh_vm(call.db, vm.ref)
    return moved


async def move(call: Call, ref: str, sr: str, wanted: Mapping[str, str] | None = None) -> str:
    """A full copy in ``sr`` takes the place of a disk, which is destroyed; whoever had it has the copy.

    Its image gets the format that is ``wanted``, or what the SR would give a new disk (docs.xcp-ng.org: QCOW2
    FAQ). Raises ``SR_BACKEND_FAILURE_66`` and ``_79``.
    """
    vdi = call.db.row("VDI", ref)
    uuid = call.pool.ids.new()
    source, target = call.pool.repository(vdi["SR"]), call.pool.repository(sr)
    made = image_formats.choose(call.pool, sr, vdi["virtual_size"], wanted)
    node = await disk_work(source.copy, vdi["uuid"], target, uuid, image_format=made)
    origin = {name: vdi[name] for name in ("tags", "is_a_snapshot", "snapshot_of", "snapshot_time")}
    told = image_formats.told(call.pool, sr, made)
    moved = add_vdi(call.pool, sr, node, **copied_fields(vdi), **origin, sm_config=told)
    for vbd in list(vdi["VBDs"]):
        call.db.set("VBD", vbd, "VDI", moved)
    for snapshot in list(vdi["snapshots"]):
        call.db.set("VDI", snapshot, "snapshot_of", moved)
    await disk_work(source.destroy, vdi["uuid"])
    vdi_calls.forget_record(call, ref)
    await call.pool.disks[vdi["SR"]].follow()
    await call.pool.disks[sr].follow()
    call.pool.disks[vdi["SR"]].coalesce_soon()
    return moved


def _user(call: Call, ref: str) -> Row:
    """The VM that has the disk; one that runs with it before others."""
    vbds = [call.db.row("VBD", vbd_ref) for vbd_ref in call.db.row("VDI", ref)["VBDs"]]
    for vbd in sorted(vbds, key=lambda vbd: not vbd["currently_attached"]):
        vm = call.db.row("VM", vbd["VM"])
        if not vm["is_control_domain"]:
            return vm
    raise XapiFailure("VDI_NEEDS_VM_FOR_MIGRATE", ref)


def mirroring(call: Call, ref: str) -> AbstractAsyncContextManager[None]:
    """Hold the copying of a disk that is in use. Raises ``VDI_CBT_ENABLED``, ``VDI_IN_USE``."""

    def check(vdi: Row) -> None:
        vdi_rules.check(call.db, vdi, "mirror")
        if vdi["uuid"] in call.pool.guest_disks:
            raise XapiFailure("VDI_IN_USE", ref, "mirror")

    return operation(call, "VDI", ref, "mirror", check)
