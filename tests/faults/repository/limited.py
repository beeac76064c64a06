"""Work in a child process whose files may not grow, or not be many."""

import os
import resource
import signal
from collections.abc import Callable

from services.chassis.errors import XenkeepError
from tests.support.forking import fork

DONE = "done"


def reason_within(limit: int, most: int, work: Callable[[], object]) -> str:
    """``DONE``, or why ``work`` ended, under ``resource.RLIMIT_...`` of ``most``.

    A reason of the product's, or the representation of any other exception.
    """
    read, write = os.pipe()
    child = fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        reason = DONE
        try:
            resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))
            work()
        except XenkeepError as error:
            reason = error.reason
        except BaseException as error:  # noqa: BLE001 - told to the test
            reason = repr(error)
        finally:
            os.write(write, reason.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(child, 0)
    return told


def next_descriptor() -> int:
    """The number the next file opened would get: limits below it forbid opening any."""
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    return descriptor
