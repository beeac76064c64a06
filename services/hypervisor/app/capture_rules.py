"""What can be done to a guest for its capture, before anything is."""

from collections.abc import Collection

from services.chassis.errors import FailedPrecondition
from services.hypervisor.domain.capture import MemoryWish
from services.hypervisor.domain.memory import IMPOSSIBLE
from services.hypervisor.domain.source import Source
from services.hypervisor.domain.vm import Method, PowerState
from services.hypervisor.ports.guests import Guest


def assert_possible(source: Source, guest: Guest, leave_out: Collection[str]) -> None:
    """Raises FailedPrecondition VM_BAD_POWER_STATE, SHUTDOWN_IMPOSSIBLE, MEMORY_IMPOSSIBLE. A VM that is off
    needs neither a shutdown nor quiescing."""
    if source.method is Method.MEMORY:
        _assert_memory(source, guest, leave_out)
    if source.method is not Method.OFFLINE or guest.power_state is PowerState.HALTED:
        return
    if guest.power_state is not PowerState.RUNNING:
        raise FailedPrecondition(
            f"VM {guest.display_name!r} is {guest.power_state.value.lower()} and cannot be shut down.",
            reason="VM_BAD_POWER_STATE",
            hint="Resume it or shut it down, or use the method normal.",
        )
    force = source.options.offline is not None and source.options.offline.force
    if guest.shutdown_obstacle and not force:
        raise FailedPrecondition(
            f"VM {guest.display_name!r} cannot be shut down cleanly: {guest.shutdown_obstacle}.",
            reason="SHUTDOWN_IMPOSSIBLE",
            hint="Install or start its guest tools, or let the policy switch it off.",
        )


def why_no_memory(guest: Guest, wish: MemoryWish, leave_out: Collection[str]) -> str:
    """Why a VM's memory is not captured, "" when it is."""
    if guest.memory_obstacle:
        return guest.memory_obstacle
    if leave_out:
        return "disks are left out of the backup, and memory goes with all of them only"
    if guest.domain_controller_hint and not wish.domain_controllers:
        return f"it seems to be a domain controller ({guest.domain_controller_hint})"
    return ""


def _assert_memory(source: Source, guest: Guest, leave_out: Collection[str]) -> None:
    wish = source.options.memory or MemoryWish()
    why_not = why_no_memory(guest, wish, leave_out)
    if not why_not or not wish.required:
        return
    if guest.domain_controller_hint and not guest.memory_obstacle and not leave_out:
        hint = "Use the method quiesced or offline; the policy can allow memory of domain controllers."
    else:
        hint = "Use another method, or let the policy prefer memory instead of requiring it."
    raise FailedPrecondition(
        f"VM {guest.display_name!r} cannot be captured with its memory: {why_not}.",
        reason=IMPOSSIBLE,
        hint=hint,
        metadata={"why": why_not},
    )
