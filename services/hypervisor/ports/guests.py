"""What can be done to a VM and inside it around its snapshot."""

from dataclasses import dataclass
from typing import Protocol

from services.hypervisor.domain.capture import Hook
from services.hypervisor.domain.vm import PowerState


@dataclass(frozen=True)
class Guest:
    """A VM as far as capturing it is concerned. ``host_id`` is empty unless it runs.

    ``shutdown_obstacle``, ``quiesce_obstacle`` and ``memory_obstacle`` are why it cannot be asked to shut
    down, or to freeze its applications for a snapshot of the pool's, and why its memory cannot be captured;
    empty when it can. ``domain_controller_hint`` is why it seems to be one.
    """

    display_name: str
    power_state: PowerState
    host_id: str
    shutdown_obstacle: str
    quiesce_obstacle: str
    memory_obstacle: str = ""
    domain_controller_hint: str = ""


class GuestPower(Protocol):
    """Shutting VMs down for a backup, and starting them again (part of ``ports.pool.PoolConnection``)."""

    async def guest(self, vm_id: str) -> Guest:
        """Raises NotFound VM_UNKNOWN; InvalidInput VM_NOT_PROTECTABLE for templates, snapshots, dom0."""
        ...

    async def ask_to_shut_down(self, vm_id: str, patience_s: float) -> str:
        """Asks for a clean shutdown: "" when the VM is halted, otherwise why it is not.

        The request is withdrawn after ``patience_s``. Raises Aborted POOL_BUSY when the pool neither ends nor
        withdraws it.
        """
        ...

    async def switch_off(self, vm_id: str) -> None:
        """As pulling the plug; a halted VM is left alone."""
        ...

    async def start_again(self, vm_id: str, host_id: str) -> None:
        """Starts a VM, on that host if it can be, unless it is anything but halted or gone. A shutdown that
        is under way is waited for; Aborted POOL_BUSY when it takes long."""
        ...


class Hooks(Protocol):
    """Calls to servers of the operator's."""

    async def call(self, hook: Hook, body: dict[str, str]) -> str:
        """POSTs ``body`` as JSON: "" for an answer of 2xx in time, otherwise what went wrong, without any
        secret. Never raises for what the other side does."""
        ...


class GuestAgents(Protocol):
    """Agents inside guests that can freeze file systems."""

    async def freeze(self, pool_id: str, vm_id: str) -> str:
        """Freezes the file systems of a running guest until ``thaw``: "" or why not."""
        ...

    async def thaw(self, pool_id: str, vm_id: str) -> None:
        """Ends a freeze; nothing happens to a guest that is not frozen."""
        ...
