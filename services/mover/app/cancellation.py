"""Stopping work that runs in threads of this process."""

import threading
from collections.abc import Callable


class Cancellation:
    """The wish that one transfer stops. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.event = threading.Event()
        self._actions: list[Callable[[], None]] = []

    @property
    def wanted(self) -> bool:
        return self.event.is_set()

    def when_wanted(self, action: Callable[[], None]) -> None:
        """Call ``action`` once it is wanted, at once if it already is."""
        with self._lock:
            if not self.wanted:
                self._actions.append(action)
                return
        action()

    def request(self) -> None:
        with self._lock:
            self.event.set()
            actions, self._actions = self._actions, []
        for action in actions:
            action()


class Cancellations:
    """Those of the transfers this process works on."""

    def __init__(self) -> None:
        self._of: dict[str, Cancellation] = {}

    def begin(self, transfer_id: str) -> Cancellation:
        self._of[transfer_id] = Cancellation()
        return self._of[transfer_id]

    def end(self, transfer_id: str) -> None:
        self._of.pop(transfer_id, None)

    def request(self, transfer_id: str) -> None:
        """Nothing happens when it does not run here."""
        if cancellation := self._of.get(transfer_id):
            cancellation.request()
