"""Run a program that ends when whoever started it dies: ``leash.py PARENT_PID PROGRAM ARGUMENT...``

A supervisor that is killed cannot stop what it runs, and what runs on would hold the ports and the files of
the next one. Linux kills it then (prctl(2), PR_SET_PDEATHSIG, kept over execve); elsewhere it just runs on.
Imports the standard library alone: it is run before every program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become ``command``; ends at once when ``parent`` is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("Whoever started this is gone.")
    try:
        os.execvp(command[0], command)  # noqa: S606 - that is its purpose
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
