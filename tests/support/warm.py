"""Processes of our programs that need not import them first: children of one that has done so already.

They are what ``python -m`` would have started, with arguments, an environment, files and an end of their
own. Only what the kernel remembers of a start is not theirs: /proc shows the command line and environment of
the house they were born in. Who looks at those starts a program by itself.
"""

import asyncio
import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.support.warm_house import NUMBER

_ROOT = Path(__file__).parents[2]
_one_at_a_time = threading.Lock()


class WarmProcess:
    """As ``asyncio.subprocess.Process``; ``join`` waits where there is no event loop."""

    def __init__(self, told: int) -> None:
        self._told = told
        self._returncode: int | None = None
        self.pid = self._next()

    @property
    def returncode(self) -> int | None:
        """None as long as it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.join(0)
        return self._returncode

    def send_signal(self, number: int) -> None:
        """Nothing happens when it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def join(self, timeout: float | None = None) -> int:
        """Its exit code. Raises ``subprocess.TimeoutExpired`` after ``timeout`` seconds."""
        if self._returncode is None:
            looking = select.poll()
            looking.register(self._told, select.POLLIN)
            if not looking.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self._returncode = self._next()
            os.close(self._told)
        return self._returncode

    async def wait(self) -> int:
        """Its exit code."""
        if self._returncode is None:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            watched = os.dup(self._told)  # several may wait
            loop.add_reader(watched, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(watched)
                os.close(watched)
        return self.join()

    def _next(self) -> int:
        if told := os.read(self._told, NUMBER.size):
            number: int = NUMBER.unpack(told)[0]
            return number
        raise RuntimeError("The house of the warm processes fell; what it said is above.")


def start(
    program: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int = 1,
    stderr: int = 2,
) -> WarmProcess:
    """Run ``program``, which is ``module:function``; without ``stdin`` it reads nothing."""
    order = {
        "program": program,
        "arguments": arguments,
        "env": dict(os.environ if env is None else env),
        "cwd": os.getcwd(),
    }
    ours, told = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        with _one_at_a_time:
            door = _door()
        files = [nothing if stdin is None else stdin, stdout, stderr, told]
        socket.send_fds(door, [json.dumps(order).encode()], files)
    finally:
        os.close(nothing)
        os.close(told)
    return WarmProcess(ours)


@cache
def _door() -> socket.socket:
    """Of the house, which is built when it is needed first and stands as long as this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        command = [sys.executable, "-m", "tests.support.warm_house", str(number)]
        house = subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL, cwd=_ROOT)

    def leave() -> None:
        ours.close()
        house.wait()

    atexit.register(leave)
    return ours
