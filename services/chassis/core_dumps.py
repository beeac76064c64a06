"""Keys stay out of core dumps, and out of sight of other processes of the same user.

A limit of zero is not enough: the kernel does not apply it to a dump that is piped to a program, as
systemd-coredump has it (core(5)). A process that is not dumpable writes none at all, cannot be attached to
(ptrace(2)), and its memory and environment under ``/proc`` belong to root (proc(5)).
"""

import ctypes
import os
import resource
import sys

from services.chassis.errors import FailedPrecondition

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4  # linux/prctl.h


def forbid_core_dumps() -> None:
    """For this process, until it ends; a program it executes has to ask again, but inherits the limit.

    Raises FailedPrecondition CORE_DUMPS_POSSIBLE when the system does not grant it. Where there is no prctl
    (not Linux) the limit is all there is.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) or prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0):
        raise FailedPrecondition(
            f"This process may leave its keys in a core dump: {os.strerror(ctypes.get_errno())}.",
            reason="CORE_DUMPS_POSSIBLE",
            hint="Let the service call prctl(PR_SET_DUMPABLE); a seccomp profile may forbid it.",
        )
