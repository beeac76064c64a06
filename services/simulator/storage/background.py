"""Coalescing as it happens on a real pool: some time after there is something to do, by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.simulator.storage.errors import StorageError
from services.simulator.storage.ports import StorageRepository


class BackgroundCoalescing:
    """A thread that coalesces one SR.

    `changed` is called on that thread after every step, `failed` when a step could not be done (SR full): the
    next trigger tries again. `delay` is the time in seconds between a trigger and the work.
    """

    def __init__(
        self,
        sr: StorageRepository,
        changed: Callable[[], None],
        failed: Callable[[StorageError], None],
        delay: float,
    ) -> None:
        self._sr = sr
        self._changed = changed
        self._failed = failed
        self._delay = delay
        self._triggered = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="coalescing", daemon=True)

    def start(self) -> None:
        """Begin, with whatever an earlier process left to do."""
        self._thread.start()
        self.trigger()

    def trigger(self) -> None:
        """There may be something to do: a disk was destroyed, or written for long."""
        self._triggered.set()

    def close(self) -> None:
        """Finish the step at hand and stop."""
        self._closing.set()
        self._triggered.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._triggered.wait()
            if self._closing.wait(self._delay):
                return
            self._triggered.clear()
            try:
                while not self._closing.is_set() and self._sr.coalesce_step():
                    self._changed()
            except StorageError as error:
                self._failed(error)
