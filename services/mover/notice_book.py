"""Collects notices from several threads, without ever growing beyond bounds."""

import threading

from services.mover.domain import Notice

_MOST = 200
_OMITTED = "NOTICES_OMITTED"


class NoticeBook:
    """Equal notices are counted, not repeated; beyond 200 different ones only their number is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._omitted = 0

    def add(self, code: str, text: str) -> None:
        """Write one down."""
        with self._lock:
            if (code, text) in self._counts or len(self._counts) < _MOST:
                self._counts[code, text] = self._counts.get((code, text), 0) + 1
            else:
                self._omitted += 1

    def all(self) -> tuple[Notice, ...]:
        """What was written down, in the order of first occurrence."""
        with self._lock:
            known = tuple(Notice(code, text, count) for (code, text), count in self._counts.items())
            if not self._omitted:
                return known
            return (*known, Notice(_OMITTED, "More notices than fit were left out.", self._omitted))
