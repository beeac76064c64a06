"""How slow this machine is at the moment, by a process that does the same small thing all the time."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PULSES = """
import hashlib, time
data = bytes(1 << 18)
end = time.monotonic()
while True:
    began = end
    hashlib.blake2b(data).digest()
    time.sleep(0.01)
    end = time.monotonic()
    print(began, end, flush=True)
"""


class Pace:
    """Pulses, each a moment's work and a moment's sleep: they last longer on a machine that is busy or stands
    still.
    """

    def __init__(self) -> None:
        self._pulses: list[tuple[float, float]] = []
        self._another = asyncio.Event()

    async def slowness(self, since: float) -> float:
        """How much longer pulses took between ``since`` (``time.monotonic``) and now than the fastest of all:
        1 is not at all.
        """
        now = time.monotonic()
        while not self._pulses or self._pulses[-1][1] < now:
            self._another.clear()
            await self._another.wait()
        lengths = [end - began for began, end in self._pulses]
        then = [end - began for began, end in self._pulses if end >= since and began <= now]
        return sum(then) / len(then) / min(lengths)

    async def begun(self) -> None:
        """Returns when it beats."""
        while not self._pulses:
            await self._another.wait()

    async def listen(self, lines: asyncio.StreamReader) -> None:
        while (line := await lines.readline()).endswith(b"\n"):  # not the half that one killed leaves
            began, end = map(float, line.split())
            self._pulses.append((began, end))
            self._another.set()


@asynccontextmanager
async def pace() -> AsyncIterator[Pace]:
    """It beats until the context is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PULSES, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    beats = Pace()
    listening = asyncio.ensure_future(beats.listen(process.stdout))
    try:
        await beats.begun()
        yield beats
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await listening
