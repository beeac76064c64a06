"""Runs programs, starts again what dies, stops all in reverse order.

A service may be killed at any moment; it goes on where it was when it is started again. A program that keeps
dying is started more and more slowly, up to once in 30 seconds, for ever: what it needs may come back. When
the supervisor itself is killed, its programs die with it.
"""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from xenkeep.errors import Error
from xenkeep.local.processes import Program, environment_of, leashed

STOP_SECONDS = 25.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 60.0
"""After running so long a program's next death counts as its first."""


class Supervisor:
    """``notify`` is told in one line whenever a program starts, dies or is started again."""

    def __init__(self, logs: Path, notify: Callable[[str], None]) -> None:
        self._logs = logs
        self._notify = notify
        self._keepers: list[tuple[Program, asyncio.Task[None]]] = []
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._interludes: dict[str, Callable[[], None]] = {}
        self._stopping = asyncio.Event()

    async def start(self, program: Program, timeout: float = 60.0) -> None:
        """Start a program and keep it running; returns when its ready line was printed (at once without one).

        Raises Error Unavailable with the end of its output when it dies or stays silent first.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not program.ready_line:
            ready.set_result(None)
        keeper = asyncio.create_task(self._keep(program, ready), name=program.name)
        self._keepers.append((program, keeper))
        try:
            await asyncio.wait_for(asyncio.shield(ready), timeout)
        except TimeoutError:
            raise self.not_ready(program.name, f"was not ready after {timeout:.0f} s") from None

    def pid(self, name: str) -> int:
        """Process id of a program that runs now."""
        return self._running[name].pid

    def interrupt(self, name: str, while_down: Callable[[], None] = lambda: None) -> None:
        """Kill a program at once; it is started again as soon as ``while_down`` was called."""
        self._interludes[name] = while_down
        self._running[name].kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a program; one that does not run now will start anew anyway."""
        process = self._running.get(name)
        if process is not None and process.returncode is None:
            process.send_signal(number)

    async def stop(self) -> None:
        """Ask every program to end, the last started first; kill what has not ended after STOP_SECONDS."""
        self._stopping.set()
        for program, keeper in reversed(self._keepers):
            self.signal(program.name, signal.SIGTERM)
            done, _ = await asyncio.wait([keeper], timeout=STOP_SECONDS)
            if not done:
                self._notify(f"{program.name} did not stop in {STOP_SECONDS:.0f} s and was killed")
                self.signal(program.name, signal.SIGKILL)
                await asyncio.wait([keeper])

    async def _keep(self, program: Program, ready: asyncio.Future[None]) -> None:
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._run_once(program, ready)
            if self._stopping.is_set():
                return
            if interlude := self._interludes.pop(program.name, None):
                interlude()
                self._notify(f"{program.name} was killed and is started again")
                continue
            if not ready.done():
                ready.set_exception(self.not_ready(program.name, f"ended with code {code}"))
                return
            pause = FIRST_PAUSE if loop.time() - started > STEADY_SECONDS else min(pause * 2, LONGEST_PAUSE)
            self._notify(f"{program.name} ended with code {code}; starting it again in {pause:.1f} s")
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                continue

    async def _run_once(self, program: Program, ready: asyncio.Future[None]) -> int:
        process = await asyncio.create_subprocess_exec(
            *leashed(program.command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment_of(program),
            start_new_session=True,
            limit=1 << 20,
        )
        self._running[program.name] = process
        if self._stopping.is_set():  # it was being started when ``stop`` looked
            self.signal(program.name, signal.SIGTERM)
        assert process.stdout is not None
        with self._log(program.name).open("ab") as log:
            while line := await process.stdout.readline():
                log.write(line)
                log.flush()
                if not ready.done() and program.ready_line in line.decode(errors="replace"):
                    ready.set_result(None)
        return await process.wait()

    def not_ready(self, name: str, what: str) -> Error:
        """The error for a program that cannot be used, with the end of what it printed."""
        log = self._log(name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.exists() else []
        return Error(
            "Unavailable",
            "PROGRAM_NOT_READY",
            f"{name} {what}: {' | '.join(lines) or 'it printed nothing'}.",
            f"Look into {log}.",
        )

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"
