"""Calls of class VM_appliance (xapi: ocaml/xapi/xapi_vm_appliance.ml)."""

from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

from services.simulator.calls import vm_power
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure

_OPERATIONS = ["start", "clean_shutdown", "hard_shutdown", "shutdown"]
Step = Callable[[str], Awaitable[None]]


async def create(call: Call, record: dict[str, Any]) -> str:
    return call.pool.create("VM_appliance", **record | {"allowed_operations": _OPERATIONS})


async def start(call: Call, ref: str, paused: bool) -> None:
    """Its halted VMs, those of the lowest order first. Raises ``OPERATION_PARTIALLY_FAILED``."""

    async def step(vm: str) -> None:
        await vm_power.start(call, vm, paused, False)

    await _run(call, ref, "start", "Halted", step)


async def clean_shutdown(call: Call, ref: str) -> None:
    await _run(call, ref, "clean_shutdown", "Running", lambda vm: vm_power.clean_shutdown(call, vm))


async def hard_shutdown(call: Call, ref: str) -> None:
    await _run(call, ref, "hard_shutdown", "Running", lambda vm: vm_power.hard_shutdown(call, vm))


async def shutdown(call: Call, ref: str) -> None:
    await _run(call, ref, "shutdown", "Running", lambda vm: vm_power.shutdown(call, vm))


async def _run(call: Call, ref: str, name: str, state: str, step: Step) -> None:
    """Starting goes up the orders, stopping down, with the delay of the VMs between them."""
    vms = [call.db.row("VM", vm) for vm in call.db.row("VM_appliance", ref)["VMs"]]
    up = name == "start"
    ordered = sorted(vms, key=lambda vm: vm["order"] if up else -vm["order"])
    failed: list[str] = []
    held = {**call.db.row("VM_appliance", ref)["current_operations"], call.task: name}
    call.db.set("VM_appliance", ref, "current_operations", held)
    try:
        for _, group in groupby(ordered, key=lambda vm: vm["order"]):
            failed += await _step(call, list(group), state, step, "start_delay" if up else "shutdown_delay")
    finally:
        left = dict(call.db.row("VM_appliance", ref)["current_operations"])
        left.pop(call.task, None)
        call.db.set("VM_appliance", ref, "current_operations", left)
    if failed:
        raise XapiFailure("OPERATION_PARTIALLY_FAILED", f"VM_appliance.{name}", *failed)


async def _step(call: Call, vms: list[Row], state: str, step: Step, delay: str) -> list[str]:
    """References of the VMs of one order that failed."""
    failed = []
    for vm in vms:
        if vm["power_state"] != state:
            continue
        try:
            await step(vm.ref)
        except XapiFailure:
            failed.append(vm.ref)
    await call.pool.clock.sleep(max(vm[delay] for vm in vms))
    return failed
