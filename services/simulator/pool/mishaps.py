"""What shall go wrong with a VM, as ordered by the control API."""

import asyncio
from dataclasses import dataclass

from services.chassis.clock import Clock
from services.simulator.failure import XapiFailure


class HalfMade(XapiFailure):
    """A snapshot broke off; the disks that it made are left for others to find."""


@dataclass(frozen=True)
class Shutdown:
    """``refused``: after ``delay_s`` the toolstack gives up, and the guest runs on."""

    refused: bool = False
    delay_s: float = 0.0


class Mishaps:
    """By the VM's uuid."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._snapshots: dict[str, int] = {}
        self._shutdowns: dict[str, Shutdown] = {}

    def fail_snapshot(self, vm: str, after_disks: int) -> None:
        """The VM's next snapshot breaks off when it has made ``after_disks`` disks; once."""
        self._snapshots[vm] = after_disks

    def set_shutdown(self, vm: str, shutdown: Shutdown) -> None:
        self._shutdowns[vm] = shutdown

    def check_snapshot(self, vm: str, disks_made: int, disks_wanted: int) -> None:
        """Raises ``HalfMade`` when the moment has come, at the latest when no disk is left to make."""
        after = self._snapshots.get(vm)
        if after is not None and disks_made >= min(after, disks_wanted):
            del self._snapshots[vm]
            sentence = f"The VDI is not available [opterr=broken off after {disks_made} disks]"
            raise HalfMade("SR_BACKEND_FAILURE_46", "", sentence, "")

    async def shut_down(self, vm_ref: str, vm: str, cancelled: asyncio.Event) -> None:
        """As long as the guest takes to stop, or until ``cancelled``.

        Raises ``VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT`` when it will not.
        """
        shutdown = self._shutdowns.get(vm, Shutdown())
        if shutdown.delay_s:
            try:
                await self._clock.wait(cancelled.wait(), shutdown.delay_s)
            except TimeoutError:
                pass  # nobody called it off
            else:
                return
        if shutdown.refused:
            raise XapiFailure("VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT", vm_ref)
