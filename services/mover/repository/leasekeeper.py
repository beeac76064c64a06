"""Leases are renewed as long as their writers live."""

from typing import Final, Protocol

from services.chassis.errors import PermissionDenied, ResourceExhausted, Unavailable
from services.mover.repository.context import Listener
from services.mover.repository.flow import Flow

BEAT_SECONDS: Final = 60.0
_PASSING: Final = (Unavailable, ResourceExhausted)


class Beating(Protocol):
    """Has to show that it lives."""

    def beat(self) -> None: ...


class LeaseKeeper:
    """Beats as long as the session lasts, in a thread of the session's flow."""

    def __init__(self, flow: Flow, lease: Beating, on_notice: Listener, seconds: float) -> None:
        self._flow = flow
        self._lease = lease
        self._notice = on_notice
        self._seconds = seconds
        self._wake = flow.condition()
        self._ended = self._told = False

    def start(self) -> None:
        self._flow.start("lease", self._run)

    def end(self) -> None:
        with self._wake:
            self._ended = True
            self._wake.notify_all()

    def _run(self) -> None:
        while self._wait():
            try:
                self._lease.beat()
            except (*_PASSING, PermissionDenied) as error:
                if not self._told:
                    self._notice("LEASE_NOT_RENEWED", f"{error.message} It is tried again every minute.")
                self._told = True

    def _wait(self) -> bool:
        """True when it is time for a beat, False when the session has ended."""
        with self._wake:
            if not self._ended:
                self._wake.wait(self._seconds)
            self._flow.check()
            return not self._ended
