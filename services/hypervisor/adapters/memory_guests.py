"""``ports.guests`` of the pool in memory."""

from services.chassis.errors import (
    ResourceExhausted,
)
from services.hypervisor.adapters.memory_objects import MemoryObjects, MemoryVm
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.guests import Guest


class MemoryGuests(MemoryObjects):
    """Guests react as their ``MemoryVm`` says."""

    async def guest(self, vm_id: str) -> Guest:
        vm = self._vm(vm_id)
        runs = vm.power_state is PowerState.RUNNING
        return Guest(
            display_name=vm.name,
            power_state=vm.power_state,
            host_id=vm.host_id if runs else "",
            shutdown_obstacle="" if runs else "it does not run",
            quiesce_obstacle="" if runs and vm.quiesces else "the pool offers no quiesced snapshot of it",
            memory_obstacle=vm.memory_obstacle or ("" if self._has_memory(vm) else "it does not run"),
            domain_controller_hint=vm.domain_controller_hint,
        )

    async def ask_to_shut_down(self, vm_id: str, patience_s: float) -> str:
        vm = self._vm(vm_id)
        if vm.power_state is not PowerState.HALTED and not vm.reacts:
            return f"it was still on after {patience_s:g} s"
        vm.power_state = PowerState.HALTED
        return ""

    async def switch_off(self, vm_id: str) -> None:
        self._vm(vm_id).power_state = PowerState.HALTED

    async def start_again(self, vm_id: str, host_id: str) -> None:
        vm = self.vms.get(vm_id)
        if vm is None or vm.power_state is not PowerState.HALTED:
            return
        if vm.blocked_start:
            raise ResourceExhausted(vm.blocked_start, reason="NO_MEMORY")
        vm.power_state, vm.host_id = PowerState.RUNNING, host_id

    async def resume_again(self, vm_id: str, host_id: str) -> None:
        vm = self.vms.get(vm_id)
        if vm is not None and vm.power_state is PowerState.SUSPENDED:
            self._resume(vm)
            vm.host_id = host_id

    def suspend(self, vm: MemoryVm) -> None:
        """As a person would."""
        disk = self.add_disk("Suspend image")
        vm.power_state, vm.image, disk.blocks[0] = PowerState.SUSPENDED, disk.disk_id, vm.vm_id.encode()

    def _has_memory(self, vm: MemoryVm) -> bool:
        return vm.power_state in (PowerState.RUNNING, PowerState.SUSPENDED)
