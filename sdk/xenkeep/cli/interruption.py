"""Ctrl-C and SIGTERM: whoever interrupts a command is told what goes on without it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from xenkeep.errors import Error


class Terminated(KeyboardInterrupt):
    """SIGTERM has arrived: everything that is cleaned up after Ctrl-C is cleaned up."""


class Interrupted(Error):
    """Ends with 128 and the number of the signal, as shells have it."""

    def __init__(self, number: int, message: str, hint: str) -> None:
        super().__init__("Cancelled", "INTERRUPTED", message, hint)
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


def raise_when_terminated() -> None:
    """From now on SIGTERM raises ``Terminated`` where Ctrl-C would raise KeyboardInterrupt."""
    signal.signal(signal.SIGTERM, _raise)


@contextmanager
def told_if_interrupted(message: str, hint: str) -> Iterator[None]:
    """Turn an interruption of what is inside into an error that says what is left."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        number = signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT
        raise Interrupted(number, message, hint) from None


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
