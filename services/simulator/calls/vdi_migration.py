"""Moving a disk to another SR (xapi: ocaml/xapi/xapi_vm_migrate.ml ``vdi_pool_migrate``)."""

from services.simulator.calls import motion_rules, storage_motion
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations, attachments
from services.simulator.pool.operations import vm_operation


async def pool_migrate(call: Call, ref: str, sr: str, options: dict[str, str]) -> str:
    """A disk, moved while its VM runs or not: one with another reference and uuid takes its place. It is a
    ``migrate_send`` of the VM that leaves its other disks where they are, so the disks of its snapshots go
    along (see ``storage_motion``), and it may end up on another host.

    Raises ``VDI_NEEDS_VM_FOR_MIGRATE`` (also for tracking data, which no VM has), ``VDI_CBT_ENABLED``,
    ``NO_HOSTS_AVAILABLE``, and what ``motion_rules.plan`` and ``storage_motion.carry_out`` do.
    """
    vm, vbd = _user(call, ref)
    async with vm_operation(call, vm.ref, "migrate_send"), call.pool.guests_may_write:
        if call.db.row("VDI", ref)["cbt_enabled"]:
            raise XapiFailure("VDI_CBT_ENABLED", ref)
        places = {vdi.ref: vdi["SR"] for _, vdi in attachments.disks_in_use(call.pool, vm)}
        places[ref] = call.db.row("SR", sr).ref
        formats = {ref: options["dest-img-format"]} if "dest-img-format" in options else {}
        wish = motion_rules.Wish(motion_rules.host_for(call, vm, places), places, formats=formats)
        await storage_motion.carry_out(call, motion_rules.plan(call, vm, wish))
    allowed_operations.refresh_vm(call.db, vm.ref)
    return str(call.db.row("VBD", vbd)["VDI"])


def _user(call: Call, ref: str) -> tuple[Row, str]:
    """The VM that has the disk, one that runs with it before others, and its VBD."""
    vbds = [call.db.row("VBD", vbd_ref) for vbd_ref in call.db.row("VDI", ref)["VBDs"]]
    for vbd in sorted(vbds, key=lambda vbd: not vbd["currently_attached"]):
        vm = call.db.row("VM", vbd["VM"])
        if not vm["is_control_domain"]:
            return vm, vbd.ref
    raise XapiFailure("VDI_NEEDS_VM_FOR_MIGRATE", ref)
