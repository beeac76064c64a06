"""Real machines in the place of VMs: attached by a command, they end as a domain does.

Source: xapi, ocaml/xapi/xapi_xenops.ml ``update_vm``: what a domain's end means is its VM's to say.
"""

import asyncio
from pathlib import Path
from typing import Any

from services.simulator.calls import vm_power
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.machines.machine import End, Machine, escaped
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, attachments, domains
from services.simulator.pool.pool import Pool, disk_work

_ACTIONS = {
    End.POWERED_OFF: "actions_after_shutdown",
    End.REBOOTED: "actions_after_reboot",
    End.CRASHED: "actions_after_crash",
}
"""What says whether the VM starts again: ``restart``, and other words that mean that it does not."""


async def attach(pool: Pool, vm: Row, folder: Path) -> list[str]:
    """Wait for a machine in the place of a VM; the arguments its QEMU needs.

    Raises ``VM_BAD_POWER_STATE``, ``DEVICE_ALREADY_ATTACHED`` when something has the VM or one of its disks,
    and OSError.
    """
    if vm["power_state"] != "Running":
        raise XapiFailure("VM_BAD_POWER_STATE", vm.ref, "running", vm["power_state"].lower())
    if vm["uuid"] in pool.machines:
        raise XapiFailure("DEVICE_ALREADY_ATTACHED", vm["uuid"])
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    machine = Machine(
        folder,
        pool.clock,
        lambda told: _told(pool, vm.ref, told),
        lambda end: pool.background(_ended(pool, vm.ref, machine, end)),
    )
    pool.machines[vm["uuid"]] = machine
    try:
        return await machine.listen() + await _attach_disks(pool, vm, folder)
    except (XapiFailure, OSError):
        del pool.machines[vm["uuid"]]
        await machine.close()
        raise


async def _attach_disks(pool: Pool, vm: Row, folder: Path) -> list[str]:
    """All or none, in their order."""
    arguments: list[str] = []
    attached: list[str] = []
    written = [(vbd, vdi) for vbd, vdi in attachments.disks_in_use(pool, vm) if vbd["mode"] == "RW"]
    try:
        for vbd, vdi in sorted(written, key=lambda pair: int(pair[0]["userdevice"])):
            disk = await disk_work(pool.repository(vdi["SR"]).disk, vdi["uuid"])
            uri = await pool.guest_disks.attach(disk, folder / f"disk-{vbd['userdevice']}")
            attached.append(vdi["uuid"])
            arguments += ["-drive", f"if=virtio,format=raw,file={escaped(uri)}"]
    except (XapiFailure, OSError):
        for uuid in attached:
            await pool.guest_disks.detach(uuid)
        raise
    return arguments


def _told(pool: Pool, vm_ref: str, told: dict[str, Any]) -> None:
    """What a guest tells of itself takes the place of what was known."""
    vm = pool.db.row("VM", vm_ref)
    values = {**told, "live": True, "last_updated": pool.now()}
    if pool.db.find("VM_guest_metrics", vm["guest_metrics"]) is None:
        pool.db.set("VM", vm_ref, "guest_metrics", pool.create("VM_guest_metrics", **values))
    else:
        pool.db.update("VM_guest_metrics", vm["guest_metrics"], **values)
    allowed_operations.refresh_vm(pool.db, vm_ref)


async def _ended(pool: Pool, vm_ref: str, machine: Machine, end: End) -> None:
    """By itself; or it has started again and runs on."""
    vm = pool.db.find("VM", vm_ref)
    if vm is None or pool.machines.get(vm["uuid"]) is not machine:
        return
    if machine.runs:
        await domains.rebooted(pool, vm_ref)
        return
    call = Call(pool, pool.coordinator, None, session="")
    host, again = vm["resident_on"], vm[_ACTIONS[end]] == "restart"
    await vm_power.stop_domain(call, vm_ref)
    if end is End.CRASHED:
        vm_power.tell(call, vm_ref, "VM_CRASHED", "crashed")
    if again and host != NULL_REF:
        await vm_power.restart_domain(call, vm_ref, host)
