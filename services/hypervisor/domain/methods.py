"""What comes of each method for a VM, before anything is done to it."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.hypervisor.domain.source import Consistency, consistency_of
from services.hypervisor.domain.vm import Method, PowerState, Vm

NO_AGENT = "no agent that could freeze its file systems is connected"


@dataclass(frozen=True)
class MethodCheck:
    """``obstacle`` is why it cannot be used, empty when it can; ``consistency`` what it then guarantees;
    ``usable_with`` the option of a policy with which it can be used all the same."""

    method: Method
    obstacle: str
    consistency: Consistency
    usable_with: str = ""

    @property
    def usable(self) -> bool:
        return not self.obstacle


def checks(vm: Vm, agent_obstacle: str = NO_AGENT) -> tuple[MethodCheck, ...]:
    """Every method with options as they are by default. ``agent_obstacle`` is why no agent can freeze the
    guest."""
    return tuple(_checks(vm, agent_obstacle))


def _checks(vm: Vm, agent_obstacle: str) -> Iterator[MethodCheck]:
    halted = vm.power_state is PowerState.HALTED
    off = Consistency.POWERED_OFF
    yield MethodCheck(Method.NORMAL, "", consistency_of(vm.power_state))
    running = vm.power_state is PowerState.RUNNING
    force = "offline.force" if running and vm.shutdown_obstacle else ""
    yield MethodCheck(Method.OFFLINE, "" if halted else _why_not_offline(vm), off, force)
    no_memory = _why_no_memory(vm)
    allowed = "memory.domain_controllers" if no_memory and not vm.memory_obstacle else ""
    yield MethodCheck(Method.MEMORY, no_memory, Consistency.MEMORY, allowed)
    quiesce = vm.quiesce_obstacle and agent_obstacle and f"{vm.quiesce_obstacle}; {agent_obstacle}"
    why_not = quiesce if running else f"it is {vm.power_state.value.lower()}"
    yield MethodCheck(Method.QUIESCED, "" if halted else why_not, off if halted else Consistency.APPLICATION)


def _why_not_offline(vm: Vm) -> str:
    if vm.power_state is not PowerState.RUNNING:
        return f"it is {vm.power_state.value.lower()} and cannot be shut down"
    return vm.shutdown_obstacle


def _why_no_memory(vm: Vm) -> str:
    hint = vm.guest.domain_controller_hint
    if vm.memory_obstacle or not hint:
        return vm.memory_obstacle
    return f"it seems to be a domain controller ({hint}), and that has to be allowed"
