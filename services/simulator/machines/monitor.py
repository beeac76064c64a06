"""QEMU's monitor: orders to a machine, and what it tells of itself.

Source: QEMU, docs/interop/qmp-spec.rst; commands and events of qapi/run-state.json and qapi/misc.json.
It is the machine that connects, and it greets.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

MAX_LINE = 1024 * 1024


class MonitorError(Exception):
    """The machine did not do what it was told; says what, and why."""


class Monitor:
    """One connection. ``on_event`` gets the name and the data of whatever happens to the machine."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_event: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._asked: deque[tuple[str, asyncio.Future[Any]]] = deque()
        self.gone = False

    async def greet(self) -> None:
        """Before anything else. Raises ``MonitorError`` when nobody of QEMU is there."""
        try:
            greeting = json.loads(await self._reader.readline() or b"{}")
        except (OSError, ValueError) as error:
            raise MonitorError(f"no machine of QEMU has connected: {error}") from error
        if not isinstance(greeting, dict) or "QMP" not in greeting:
            raise MonitorError("no machine of QEMU has connected: it does not greet")

    async def execute(self, command: str) -> Any:
        """What the machine answers. Raises ``MonitorError`` when it refuses or is gone."""
        return await self._send(command)

    def quit(self) -> None:
        """The machine shall end; ``follow`` returns when it has."""
        if not self.gone:
            self._send("quit").cancel()  # nobody waits for the answer

    async def follow(self) -> None:
        """Returns when the machine is gone; who waits for an answer is told so."""
        try:
            while line := await self._reader.readline():
                self._take(json.loads(line))
        except (OSError, ValueError):
            pass  # cut off in the middle: it is gone as well
        finally:
            self.gone = True
            while self._asked:
                command, answer = self._asked.popleft()
                if not answer.done():
                    answer.set_exception(MonitorError(f"{command}: the machine is gone"))
            self._writer.close()

    def close(self) -> None:
        """Hang up; ``follow`` returns."""
        self._writer.close()

    def _send(self, command: str) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append((command, answer))
        if self.gone:
            answer.set_exception(MonitorError(f"{command}: the machine is gone"))
        else:
            self._writer.write(json.dumps({"execute": command}).encode() + b"\n")
        return answer

    def _take(self, message: Mapping[str, Any]) -> None:
        """Answers come in the order of the commands."""
        if "event" in message:
            self._on_event(message["event"], message.get("data", {}))
        elif self._asked:
            command, answer = self._asked.popleft()
            if answer.done():
                return
            if "error" in message:
                answer.set_exception(MonitorError(f"{command}: {message['error'].get('desc')}"))
            else:
                answer.set_result(message.get("return"))
