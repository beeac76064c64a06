"""What shall go wrong with a VM or a disk, as ordered by the control API."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from services.chassis.clock import Clock
from services.simulator.failure import XapiFailure
from services.simulator.pool.either import either

PATIENCE_S = 1200.0
"""How long a guest may take to stop (xapi: ocaml/xapi/xapi_globs.ml ``domain_shutdown_total_timeout``)."""


class HalfMade(XapiFailure):
    """A snapshot broke off; the disks that it made are left for others to find."""


@dataclass(frozen=True)
class Shutdown:
    """``refused``: after ``delay_s`` the toolstack gives up, and the guest runs on."""

    refused: bool = False
    delay_s: float = 0.0


class Mishaps:
    """By the VM's or the disk's uuid."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._snapshots: dict[str, int] = {}
        self._never_suspended: set[str] = set()
        self._shutdowns: dict[str, Shutdown] = {}
        self._untracked: dict[str, str] = {}
        self._reset = asyncio.Event()
        self._may_arrive = asyncio.Event()
        self._may_arrive.set()

    def hold_migrations(self, *, held: bool) -> None:
        """Storage migrations stop between their copies and their arrival, or go on."""
        (self._may_arrive.clear if held else self._may_arrive.set)()

    async def may_arrive(self, cancelled: asyncio.Event) -> None:
        """Returns when a storage migration may, or when it is ``cancelled``."""
        await either(self._may_arrive, cancelled)

    def fail_snapshot(self, vm: str, after_disks: int) -> None:
        """The VM's next snapshot breaks off when it has made ``after_disks`` disks; once."""
        self._snapshots[vm] = after_disks

    def set_shutdown(self, vm: str, shutdown: Shutdown) -> None:
        """Also for a shutdown that is under way: its delay counts from when it began."""
        self._shutdowns[vm] = shutdown
        self._reset.set()
        self._reset = asyncio.Event()

    def set_suspend(self, vm: str, *, refused: bool) -> None:
        (self._never_suspended.add if refused else self._never_suspended.discard)(vm)

    def check_suspend(self, vm_ref: str, vm: str) -> None:
        """Raises ``VM_FAILED_SUSPEND_ACKNOWLEDGMENT`` when the guest will not sleep."""
        if vm in self._never_suspended:
            raise XapiFailure("VM_FAILED_SUSPEND_ACKNOWLEDGMENT", vm_ref)

    def check_snapshot(self, vm: str, disks_made: int, disks_wanted: int) -> None:
        """Raises ``HalfMade`` when the moment has come, at the latest when no disk is left to make."""
        after = self._snapshots.get(vm)
        if after is not None and disks_made >= min(after, disks_wanted):
            del self._snapshots[vm]
            sentence = f"The VDI is not available [opterr=broken off after {disks_made} disks]"
            raise HalfMade("SR_BACKEND_FAILURE_46", "", sentence, "")

    def lose_tracking(self, disk: str, moment: str) -> None:
        """The log of a disk's changed blocks is lost at its next ``snapshot`` or ``resize``; once."""
        self._untracked[disk] = moment

    def loses_tracking(self, disk: str, moment: str) -> bool:
        """Whether it is lost now; asked once for every moment."""
        lost = self._untracked.get(disk) == moment
        if lost:
            del self._untracked[disk]
        return lost

    async def shut_down(self, vm_ref: str, vm: str, cancelled: asyncio.Event) -> None:
        """As long as the guest takes to stop, or until ``cancelled``.

        Raises ``VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT`` when it will not, ``VM_SHUTDOWN_TIMEOUT`` when it takes
        too long.
        """
        began = self._clock.monotonic()
        while True:
            shutdown, reset = self._shutdowns.get(vm, Shutdown()), self._reset
            left = began + min(shutdown.delay_s, PATIENCE_S) - self._clock.monotonic()
            if left <= 0:
                break
            with suppress(TimeoutError):  # nothing came in between
                await self._clock.wait(either(cancelled, reset), left)
            if cancelled.is_set():
                return
        if shutdown.refused:
            raise XapiFailure("VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT", vm_ref)
        if shutdown.delay_s > PATIENCE_S:
            raise XapiFailure("VM_SHUTDOWN_TIMEOUT", vm_ref, f"{PATIENCE_S:.0f}.")
