"""What a person means by the beginning of a UUID."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def beginning_with(wanted: str, things: Iterable[T], uuid: Callable[[T], str]) -> Iterator[T]:
    """Those whose UUID begins with ``wanted``, taken from ``things`` as they are asked for.

    Nobody means all of them: nothing begins with nothing.
    """
    return (each for each in things if uuid(each).startswith(wanted)) if wanted else iter(())
