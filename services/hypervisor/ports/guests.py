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


@dataclass(frozen=True)
class Component:
    """A part of a guest that was to be frozen: a VSS writer, a file system, a database. ``failed`` is why it
    was not; empty when it was."""

    name: str
    failed: str = ""


@dataclass(frozen=True)
class Frozen:
    """What came of a freeze. ``why_not`` is empty when the guest is frozen; with ``applications`` not its
    file systems alone."""

    why_not: str = ""
    applications: bool = False
    components: tuple[Component, ...] = ()


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

    async def resume_again(self, vm_id: str, host_id: str) -> None:
        """Resumes a VM, on that host if it can be, unless it is anything but suspended or gone. A checkpoint
        that is under way is waited for; Aborted POOL_BUSY when it takes long."""
        ...


class Hooks(Protocol):
    """Calls to servers of the operator's."""

    async def call(self, hook: Hook, body: dict[str, str]) -> str:
        """POSTs ``body`` as JSON: "" for an answer of 2xx in time, otherwise what went wrong, without any
        secret. Never raises for what the other side does."""
        ...


class GuestAgents(Protocol):
    """Agents inside guests that can freeze them. A freeze is known by the id it was asked for with.

    No method raises for what a guest does or for an agent that cannot be reached. Unavailable only means
    that this service itself could not ask; what was owed is owed still.
    """

    def obstacle(self, pool_id: str, vm_id: str) -> str:
        """Why the guest could not be frozen now, "" when it could be; without asking it."""
        ...

    async def freeze(self, pool_id: str, vm_id: str, freeze_id: str, limit_s: float) -> Frozen:
        """Has the guest write out what it holds and stand still, until ``thaw`` or until ``limit_s`` have
        passed since it began, whichever comes first; the guest sees to that by itself. The same id while it
        is frozen: the same answer. With ``why_not`` nothing is frozen any more.
        """
        ...

    async def thaw(self, pool_id: str, vm_id: str, freeze_id: str) -> bool:
        """Ends the freeze: whether it had held without a break until now. False for a freeze that was never
        begun, ended by itself or was ended before; safe to repeat, and harmless to a freeze of another id."""
        ...

    async def finish(self, pool_id: str, vm_id: str, freeze_id: str, committed: bool) -> None:
        """The backup the guest was frozen for has ended. Only if it was ``committed``, applications may
        drop what is in the restore point now (logs). At least once; a guest that cannot be reached drops
        nothing."""
        ...
