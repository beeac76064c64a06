"""A real machine in the place of a VM: a QEMU that connects its monitor and its guest's tools to sockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from services.chassis.clock import Clock
from services.simulator.failure import XapiFailure
from services.simulator.machines import monitor, tools
from services.simulator.machines.monitor import Monitor, MonitorError
from services.simulator.pool.either import either

ACKNOWLEDGED_IN_S = 60.0
STOPPED_IN_S = 1200.0
"""For a clean shutdown as a whole (xapi: xapi_globs.ml ``domain_shutdown_total_timeout``)."""
QUITS_IN_S = 60.0


class End(Enum):
    """What became of a machine."""

    POWERED_OFF = "powered off"
    REBOOTED = "rebooted"
    CRASHED = "crashed"


_ENDS = {"guest-shutdown": End.POWERED_OFF, "guest-reset": End.REBOOTED}
"""By the reason of the event SHUTDOWN (QEMU: qapi/run-state.json); any other is a crash, and so is none."""


class Machine:
    """Waits for its QEMU until it is closed, and lets nobody in after it.

    ``on_news`` is called with the fields of VM_guest_metrics when a machine has come and whenever its guest
    tells of itself; ``on_end`` when it ended, or started again, without being told to.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        on_news: Callable[[dict[str, Any]], None],
        on_end: Callable[[End], None],
    ) -> None:
        self._clock = clock
        self._monitor_path, self._tools_path = folder / "monitor", folder / "tools"
        self._on_news, self._on_end = on_news, on_end
        self._servers: list[asyncio.Server] = []
        self._monitor: Monitor | None = None
        self._tools: asyncio.StreamWriter | None = None
        self._said: dict[str, str] = {}
        self._held = self._ordered = False
        self._end: End | None = None
        self._acknowledged, self._over = asyncio.Event(), asyncio.Event()

    @property
    def runs(self) -> bool:
        """Whether a machine is there now."""
        return self._monitor is not None

    async def listen(self) -> list[str]:
        """Make the sockets; QEMU's arguments to connect to them. OSError."""
        before = os.umask(0o177)
        try:
            for path, serve in ((self._monitor_path, self._watch), (self._tools_path, self._hear)):
                path.unlink(missing_ok=True)
                limit = monitor.MAX_LINE if path == self._monitor_path else tools.MAX_LINE
                self._servers.append(await asyncio.start_unix_server(serve, path, limit=limit))
        finally:
            os.umask(before)
        return [
            *("-chardev", f"socket,id=monitor,path={escaped(self._monitor_path)}"),
            *("-mon", "chardev=monitor,mode=control"),
            *("-chardev", f"socket,id=tools,path={escaped(self._tools_path)}"),
            *("-device", "isa-serial,chardev=tools,index=1"),
        ]

    async def hold(self) -> None:
        """It stands still when this returns, until ``go_on``; so does one that connects meanwhile."""
        self._held = True
        await self._command("stop")

    async def go_on(self) -> None:
        self._held = False
        await self._command("cont")

    async def reset(self) -> None:
        """As its button does."""
        self._over.clear()
        self._ordered = True
        await self._command("system_reset")
        await self._within(QUITS_IN_S, self._over)
        self._ordered = False

    async def ask(self, vm_ref: str, action: str, cancelled: asyncio.Event) -> None:
        """Have the guest ``poweroff`` or ``reboot``; returns when that is done, or was, or ``cancelled``.

        Raises ``VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT`` and ``VM_SHUTDOWN_TIMEOUT``; the guest may do it later.
        """
        if not self.runs:
            return
        self._acknowledged.clear()
        self._over.clear()
        self._ordered = True
        if self._tools is not None:
            self._tools.write(tools.order(action))
        try:
            if not await self._within(ACKNOWLEDGED_IN_S, self._acknowledged, self._over, cancelled):
                raise XapiFailure("VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT", vm_ref)
            if not await self._within(STOPPED_IN_S, self._over, cancelled):
                raise XapiFailure("VM_SHUTDOWN_TIMEOUT", vm_ref, f"{STOPPED_IN_S:.0f}.")
        finally:
            self._ordered = False

    async def close(self) -> None:
        """Its power is gone. Raises ``INTERNAL_ERROR`` when it will not end."""
        self._ordered = True
        for server in self._servers:
            server.close()
        for path in (self._monitor_path, self._tools_path):
            path.unlink(missing_ok=True)
        if self._monitor is not None:
            self._over.clear()
            self._monitor.quit()
            if not await self._within(QUITS_IN_S, self._over):
                self._monitor.close()
                raise XapiFailure("INTERNAL_ERROR", f"the machine of {self._monitor_path} does not quit")
        if self._tools is not None:
            self._tools.close()

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A machine, from when it connects until it is gone; there is one at a time."""
        machine = Monitor(reader, writer, self._happened)
        if self._monitor is not None:
            machine.close()
            return
        self._monitor, self._end = machine, None
        try:
            await machine.greet()
        except MonitorError:
            self._monitor = None
            raise
        following = asyncio.ensure_future(machine.follow())
        await self._command("qmp_capabilities")
        if self._held:
            await self._command("stop")
        self._on_news(tools.guest_metrics(self._said))
        await following
        self._monitor = None
        self._turned(self._end or End.CRASHED)

    def _happened(self, name: str, data: Mapping[str, Any]) -> None:
        if name == "SHUTDOWN":
            self._end = self._end or _ENDS.get(str(data.get("reason")))  # not that of our quit
            if self._monitor is not None:
                self._monitor.quit()  # one that stays when it is off (-no-shutdown) is done as well
        elif name == "RESET":
            self._turned(End.REBOOTED)
            self._on_news(tools.guest_metrics(self._said))

    def _turned(self, end: End) -> None:
        self._said.clear()
        self._over.set()
        if not self._ordered:
            self._on_end(end)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the guest's tools say, until they hang up or say too much at once."""
        self._tools = writer
        try:
            while line := await reader.readline():
                if (said := tools.read_line(line)) is not None:
                    self._note(*said)
        except (OSError, ValueError):
            self._said.clear()
        finally:
            self._tools = None
            writer.close()

    def _note(self, path: str, value: str) -> None:
        if path == tools.SHUTDOWN:
            self._acknowledged.set()
        elif path in self._said or len(self._said) < tools.MAX_ENTRIES:
            self._said[path] = value
        if path == tools.UPDATED:
            self._on_news(tools.guest_metrics(self._said))

    async def _command(self, command: str) -> None:
        """If there is a machine. Raises ``INTERNAL_ERROR`` when it refuses; one that is gone need not."""
        if self._monitor is None:
            return
        try:
            await self._monitor.execute(command)
        except MonitorError as error:
            if self.runs and not self._monitor.gone:
                raise XapiFailure("INTERNAL_ERROR", str(error)) from error

    async def _within(self, seconds: float, *events: asyncio.Event) -> bool:
        try:
            await self._clock.wait(either(*events), seconds)
        except TimeoutError:
            return False
        return True


def escaped(path: Path | str) -> str:
    """As part of an argument of QEMU, where a comma ends a value."""
    return str(path).replace(",", ",,")
