"""Keys stay out of core dumps, and out of sight of other processes of the same user.

A limit of zero is not enough: the kernel does not apply it to a dump that is piped to a program, as
systemd-coredump has it (core(5)). A process that is not dumpable writes none at all, cannot be attached to
(ptrace(2)), and its memory and environment under ``/proc`` belong to root (proc(5)).
"""

import ctypes
import os
import sys

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4  # linux/prctl.h


def refusal_to_forbid() -> str:
    """Why this process may leave a core dump all the same; empty when it will not, until it ends.

    A program it executes has to ask again, but inherits the limit. Where there is no prctl (not Linux) the
    limit is all there is.
    """
    if os.name != "posix":
        return ""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return ""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) or prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0):
        return os.strerror(ctypes.get_errno())
    return ""
