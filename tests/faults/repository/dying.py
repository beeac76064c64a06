"""A process that kills itself in the middle of its file operations."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

_CALLS = ("open", "write", "fdatasync", "link", "unlink", "fsync", "mkdir")


def die_at_system_call(step: int) -> None:
    """SIGKILL this process in place of its ``step``-th mutating file operation. For forked children only."""
    count = [0]
    lock = threading.Lock()

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with lock:
                count[0] += 1
                if count[0] > step:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    for name in _CALLS:
        setattr(os, name, wrap(getattr(os, name)))
