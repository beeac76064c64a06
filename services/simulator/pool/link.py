"""The network link of a host: its speed, and a cut that is due."""

import threading
import time
from collections.abc import Callable


class Link:
    """Counts what passes. Used from the event loop and from threads that read disks."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Condition()
        self._speed = 0
        self._limits = 0
        self._free_at = 0.0
        self._cut_after: int | None = None

    def limit(self, bytes_per_second: int) -> None:
        """0 lifts the limit."""
        with self._lock:
            self._speed = bytes_per_second
            self._free_at = self._monotonic()
            self._limits += 1
            self._lock.notify_all()

    @property
    def limited(self) -> bool:
        """Whether what passes has to wait."""
        return self._speed > 0

    def cut_after(self, byte_count: int) -> None:
        """Let so many more bytes through, then none."""
        with self._lock:
            self._cut_after = byte_count

    def delay(self, byte_count: int) -> float:
        """Seconds to wait after so many bytes, so that the speed is kept."""
        with self._lock:
            return self._delay(byte_count)

    def pause(self, byte_count: int) -> None:
        """Wait for so long in a thread, or until there is another limit."""
        with self._lock:
            before = self._limits
            if delay := self._delay(byte_count):
                self._lock.wait_for(lambda: self._limits != before, delay)

    def allowance(self, wanted: int) -> int:
        """How many of ``wanted`` bytes may pass before the cut; a cut happens once."""
        with self._lock:
            if self._cut_after is None:
                return wanted
            if wanted <= self._cut_after:
                self._cut_after -= wanted
                return wanted
            allowed, self._cut_after = self._cut_after, None
            return allowed

    def _delay(self, byte_count: int) -> float:
        if not self._speed:
            return 0.0
        now = self._monotonic()
        self._free_at = max(self._free_at, now) + byte_count / self._speed
        return self._free_at - now
