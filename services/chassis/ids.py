"""Identity as an argument."""

import uuid
from typing import Protocol


class IdSource(Protocol):
    """Makes identifiers that no other call, on any machine, has made."""

    def new(self) -> str:
        """A new identifier, at most 36 characters of ``[0-9a-z-]``."""
        ...


class RandomIds:
    """Random UUIDs (RFC 9562, version 4)."""

    def new(self) -> str:
        return str(uuid.uuid4())


class SequentialIds:
    """The fake: ``<prefix>-1``, ``<prefix>-2`` … so that a test can name what will be made."""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._made = 0

    def new(self) -> str:
        self._made += 1
        return f"{self._prefix}-{self._made}"
