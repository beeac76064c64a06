"""Where ``warm`` processes are born: ``python -m tests.support.warm_house DOOR`` imports and forks.

Through the door (the number of a socket) come orders with the files a child shall have: its input, output,
errors, and where it is told which process it became and, at last, how it ended. When whoever orders has
gone, the children are killed. Nothing but imports may happen before a fork: no thread, no event loop.
"""

import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

NUMBER = struct.Struct("i")
"""What is told: a process id, then ``subprocess.Popen.returncode``."""
ORDER_BYTES = 1 << 17
_FILES = 4


def serve(door: socket.socket) -> Callable[[], int | None] | None:
    """Returns in every child, with what it shall run, and at the end, with nothing."""
    children: dict[int, int] = {}
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([door, woken], [], [])
        if woken in ready:
            woken.recv(1 << 12)
            _tell_who_ended(children)
        if door not in ready:
            continue
        message, files, _, _ = socket.recv_fds(door, ORDER_BYTES, _FILES)
        if not message:
            break
        order, told = json.loads(message), files.pop()
        module, _, name = order["program"].partition(":")
        entry: Callable[[], int | None] = getattr(import_module(module), name)
        gc.freeze()
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (door, woken, waker):
                each.close()
            for number in (told, *children.values()):
                os.close(number)
            _become(order, files)
            return entry
        for number in files:
            os.close(number)
        children[child] = told
        os.write(told, NUMBER.pack(child))
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return None


def _tell_who_ended(children: dict[int, int]) -> None:
    for child in list(children):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            told = children.pop(child)
            os.write(told, NUMBER.pack(os.waitstatus_to_exitcode(status)))
            os.close(told)


def _become(order: dict[str, Any], files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.argv = [order["program"].partition(".")[0], *order["arguments"]]


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as ordered_at:
        run = serve(ordered_at)
    if run is not None:
        sys.exit(run())
