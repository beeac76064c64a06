"""Starting and stopping VMs (xapi: ocaml/xapi/xapi_vm.ml, message_forwarding.ml)."""

from services.simulator.calls import vdi
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import (
    allowed_operations,
    attachments,
    consoles,
    domains,
    gpus,
    placement,
    vm_rules,
)
from services.simulator.pool.operations import vm_operation

_NOT_CLEANLY = ("VM_LACKS_FEATURE", "VM_BAD_POWER_STATE", "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT")
"""Failures of a clean shutdown after which a hard one may follow."""
_CALLED_OFF = frozenset({"clean_shutdown", "clean_reboot", "hard_reboot", "pool_migrate", "suspend"})
"""What a hard shutdown does not wait for (xapi: message_forwarding.ml ``hard_shutdown``)."""


async def start(call: Call, vm_ref: str, start_paused: bool, force: bool) -> None:
    """On the best host. Raises ``NO_HOSTS_AVAILABLE``, ``HOST_NOT_ENOUGH_FREE_MEMORY``, ``VDI_IN_USE``."""
    await _start(call, vm_ref, "start", None, start_paused)


async def start_on(call: Call, vm_ref: str, host: str, start_paused: bool, force: bool) -> None:
    call.db.row("host", host)
    await _start(call, vm_ref, "start_on", host, start_paused)


async def _start(call: Call, vm_ref: str, name: str, host: str | None, paused: bool) -> None:
    async with vm_operation(call, vm_ref, name):
        vm = call.db.row("VM", vm_ref)
        if host is not None:
            placement.check(call.pool, host, vm)
        chosen = host or placement.choose_host(call.pool, vm)
        await attachments.attach_disks(call.pool, vm_ref)
        await domains.started(call.pool, vm_ref, chosen, "Paused" if paused else "Running")
        tell(call, vm_ref, "VM_STARTED", f"started on host: {host_text(call, chosen)}")


async def hard_shutdown(call: Call, vm_ref: str) -> None:
    """Whatever else moves the VM is called off."""
    for task, operation in call.db.row("VM", vm_ref)["current_operations"].items():
        if operation in _CALLED_OFF and call.db.find("task", task) is not None:
            call.pool.tasks.cancel(task)
    await _stop(call, vm_ref, "hard_shutdown")


async def clean_shutdown(call: Call, vm_ref: str) -> None:
    """Raises ``VM_LACKS_FEATURE`` for a guest without tools."""
    await _stop(call, vm_ref, "clean_shutdown")


async def shutdown(call: Call, vm_ref: str) -> None:
    """Clean if the guest can, hard otherwise."""
    try:
        await _stop(call, vm_ref, "clean_shutdown")
    except XapiFailure as failure:
        if failure.code not in _NOT_CLEANLY:
            raise
        await _stop(call, vm_ref, "hard_shutdown")


async def _stop(call: Call, vm_ref: str, name: str) -> None:
    async with vm_operation(call, vm_ref, name):
        if name == "clean_shutdown":
            await _ask_guest(call, vm_ref, "poweroff")
        call.db.set("VM", vm_ref, "ha_always_run", False)
        await stop_domain(call, vm_ref)
        tell(call, vm_ref, "VM_SHUTDOWN", "shutdown" if name == "clean_shutdown" else "shutdown forcibly")


async def _ask_guest(call: Call, vm_ref: str, action: str) -> None:
    """Raises ``VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT``, ``VM_SHUTDOWN_TIMEOUT``, ``TASK_CANCELLED``."""
    uuid = call.db.row("VM", vm_ref)["uuid"]
    cancelled = call.pool.tasks.cancelled(call.task)
    await call.pool.mishaps.shut_down(vm_ref, uuid, cancelled)
    call.pool.tasks.check(call.task)
    if uuid in call.pool.machines:
        await call.pool.machines[uuid].ask(vm_ref, action, cancelled)
        call.pool.tasks.check(call.task)


async def stop_domain(call: Call, vm_ref: str) -> None:
    """The VM is halted; a memory image of it is no longer of use."""
    image = call.db.row("VM", vm_ref)["suspend_VDI"]
    await domains.stopped(call.pool, vm_ref)
    if image != NULL_REF:
        call.db.set("VM", vm_ref, "suspend_VDI", NULL_REF)
        await vdi.destroy(call, image)


async def hard_reboot(call: Call, vm_ref: str) -> None:
    await _reboot(call, vm_ref, "hard_reboot")


async def clean_reboot(call: Call, vm_ref: str) -> None:
    await _reboot(call, vm_ref, "clean_reboot")


async def _reboot(call: Call, vm_ref: str, name: str) -> None:
    async with vm_operation(call, vm_ref, name):
        vm = call.db.row("VM", vm_ref)
        host, machine = vm["resident_on"], call.pool.machines.get(vm["uuid"])
        if name == "clean_reboot":
            await _ask_guest(call, vm_ref, "reboot")
        elif machine is not None:
            await machine.reset()
        if machine is not None and machine.runs:
            await domains.rebooted(call.pool, vm_ref)
        else:
            await restart_domain(call, vm_ref, host)
        tell(call, vm_ref, "VM_REBOOTED", f"rebooted {'cleanly' if name == 'clean_reboot' else 'forcibly'}")


async def restart_domain(call: Call, vm_ref: str, host: str) -> None:
    """Stopped, and started again where it was."""
    await domains.stopped(call.pool, vm_ref)
    await attachments.attach_disks(call.pool, vm_ref)
    await domains.started(call.pool, vm_ref, host)


async def pause(call: Call, vm_ref: str) -> None:
    await _become(call, vm_ref, "pause", "Paused")


async def unpause(call: Call, vm_ref: str) -> None:
    await _become(call, vm_ref, "unpause", "Running")


async def _become(call: Call, vm_ref: str, name: str, state: str) -> None:
    async with vm_operation(call, vm_ref, name):
        if state == "Paused":
            await domains.hold_guest(call.pool, call.db.row("VM", vm_ref))
        else:
            await domains.let_guest_go_on(call.pool, call.db.row("VM", vm_ref))
        call.db.set("VM", vm_ref, "power_state", state)
    allowed_operations.refresh_vm(call.db, vm_ref)


async def pool_migrate(call: Call, vm_ref: str, host: str, options: dict[str, str]) -> None:
    """Live, on shared storage. Raises ``VM_REQUIRES_SR`` if the host lacks a disk, ``HOST_NOT_LIVE``,
    ``HOST_DISABLED``, ``HOST_NOT_ENOUGH_FREE_MEMORY``.
    """
    async with vm_operation(call, vm_ref, "pool_migrate"):
        vm = call.db.row("VM", vm_ref)
        source = vm["resident_on"]
        if source == host:
            return
        placement.check(call.pool, host, vm)
        call.db.update("VM", vm_ref, resident_on=host, domid=next(call.pool.domids))
        gpus.move(call.db, host, vm)
        consoles.follow(call.pool, vm_ref)
        tell_of_migration(call, vm_ref, source, host)


async def power_state_reset(call: Call, vm_ref: str) -> None:
    """After a host died: the VM counts as halted. Raises ``HOST_IS_LIVE`` while its host lives."""
    vm = call.db.row("VM", vm_ref)
    if vm["is_control_domain"]:
        raise XapiFailure("OPERATION_NOT_ALLOWED", "This operation is not allowed on a control domain")
    host = call.pool.hosts.get(vm["resident_on"])
    if host is not None and call.db.row("host_metrics", call.db.row("host", host.ref)["metrics"])["live"]:
        raise XapiFailure("HOST_IS_LIVE", host.ref)
    await domains.stopped(call.pool, vm_ref, crashed=True)


async def get_possible_hosts(call: Call, vm_ref: str) -> list[str]:
    return placement.possible_hosts(call.pool, call.db.row("VM", vm_ref))


async def assert_operation_valid(call: Call, vm_ref: str, name: str) -> None:
    if name in vm_rules.POWER_STATES:
        vm_rules.check(call.db, call.db.row("VM", vm_ref), name)


async def update_allowed_operations(call: Call, vm_ref: str) -> None:
    call.db.row("VM", vm_ref)
    allowed_operations.refresh(call.db, "VM", vm_ref)


def tell_of_migration(call: Call, vm_ref: str, source: str, target: str) -> None:
    """A VM runs on another host."""
    what = f"migrated from {host_text(call, source)} to {host_text(call, target)}"
    tell(call, vm_ref, "VM_MIGRATED", what)


def tell(call: Call, vm_ref: str, name: str, what: str) -> None:
    """A message about a VM, in xapi's words."""
    vm = call.db.row("VM", vm_ref)
    call.pool.messages.create(name, "VM", vm["uuid"], f"VM '{vm['name_label']}' (uuid: {vm['uuid']}) {what}")


def host_text(call: Call, host: str) -> str:
    row = call.db.row("host", host)
    return f"{row['name_label']} (uuid: {row['uuid']})"
