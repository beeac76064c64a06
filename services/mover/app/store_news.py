"""What the store of a repository had to do to keep going, heard by the transfers that ran meanwhile."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from services.mover.domain.capture import Remark

Tell = Callable[[str, str], None]
"""``tell(code, message)``; from any thread."""
_log = structlog.get_logger("xenkeep.mover.store")


class Heard:
    """Of each code how often it was told, and the first message."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, tuple[int, str]] = {}

    def tell(self, code: str, message: str) -> None:
        with self._lock:
            count, first = self._told.get(code, (0, message))
            self._told[code] = (count + 1, first)

    def remarks(self) -> Sequence[Remark]:
        """One a code, however often it was told."""
        with self._lock:
            return tuple(
                Remark(code, f"{first} ({count} such notices in all.)" if count > 1 else first)
                for code, (count, first) in self._told.items()
            )


class StoreNews:
    """The store does not know for which transfer it works, so all that run are told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Heard] = []

    def tell(self, code: str, message: str) -> None:
        _log.warning("store notice", code=code, detail=message)
        with self._lock:
            listeners = list(self._listeners)
        for heard in listeners:
            heard.tell(code, message)

    @contextmanager
    def listening(self) -> Iterator[Heard]:
        """What is told inside is heard."""
        heard = Heard()
        with self._lock:
            self._listeners.append(heard)
        try:
            yield heard
        finally:
            with self._lock:
                self._listeners.remove(heard)
