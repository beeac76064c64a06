"""Events that cannot be understood, however often they come."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.chassis.errors import InvalidInput


@contextmanager
def readable() -> Iterator[None]:
    """InvalidInput becomes MESSAGE_UNREADABLE: the event is set aside at once and holds up no other."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(
            error.message, reason="MESSAGE_UNREADABLE", hint=error.hint, metadata=error.metadata
        ) from error
