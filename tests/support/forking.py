"""Children of a test's own process."""

import gc
import os


def fork() -> int:
    """As ``os.fork``; the child never collects what earlier tests left behind.

    Destructors of gRPC's wait for threads that only the parent has, for ever.
    """
    gc.disable()
    try:
        child = os.fork()
        if child == 0:
            gc.freeze()
    finally:
        gc.enable()
    return child
