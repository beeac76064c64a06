"""Finds a host that takes a disk now: follows redirects, asks again where to write, waits."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.chassis.errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    XenkeepError,
)
from services.mover.adapters.http_put import PERHAPS_TAKEN, HttpPut, HttpTimeouts, Redirected
from services.mover.adapters.write_endpoint import WriteEndpoint
from services.mover.notice_book import NoticeBook

Refresh = Callable[[], Sequence[WriteEndpoint]]
"""Asks where the disk can be written now. It may block. ``Unavailable``, ``DeadlineExceeded``, ``Aborted``
and ``ResourceExhausted`` are asked again later; any other error ends the pass.
"""

_PASSING = (Unavailable, DeadlineExceeded, Aborted, ResourceExhausted)
_REFUSING = (PermissionDenied, FailedPrecondition, Unauthenticated)
_MOST_REFUSALS = 3
_MOST_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class HttpTargetOptions:
    """``frame_bytes`` is the grid pieces are cut on, a multiple of 4,096.

    ``patience`` is how many seconds beginning a pass may take; pauses between tries grow from ``first_pause``
    to ``longest_pause`` seconds.
    """

    frame_bytes: int = 1 << 20
    patience: float = 600.0
    first_pause: float = 1.0
    longest_pause: float = 30.0
    timeouts: HttpTimeouts = field(default_factory=HttpTimeouts)


class HttpOpener:
    """Opens PUTs of one disk. For one thread at a time, except ``cancel``."""

    def __init__(
        self,
        endpoints: Sequence[WriteEndpoint],
        refresh: Refresh,
        options: HttpTargetOptions,
        notices: NoticeBook,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._refresh = refresh
        self._options = options
        self._notices = notices
        self._monotonic = monotonic
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """An ``open`` in progress ends with ``Cancelled``, and so does every later one."""
        self._cancelled.set()

    def forget(self) -> None:
        """The endpoints known are not to be used again."""
        self._endpoints = ()

    def open(self, content_length: int) -> HttpPut:
        """A PUT whose head was accepted.

        Raises ``Unavailable`` HTTP_NO_HOST beyond the patience, the refusal itself when hosts have refused
        three times although they were freshly asked for, and what ``refresh`` raises for good.
        """
        deadline = self._monotonic() + self._options.patience
        pause, refusals = self._options.first_pause, 0
        while True:
            try:
                self._endpoints = self._endpoints or self._ask_where()
                return self._try_all(content_length)
            except _PASSING as error:
                last: XenkeepError = error
            except _REFUSING as error:
                last, refusals = error, refusals + 1
            self.forget()
            if refusals >= _MOST_REFUSALS:
                raise last
            if self._monotonic() + pause > deadline:
                raise Unavailable(
                    f"No host took the disk for {self._options.patience:g} s; at last: {last.message}",
                    reason="HTTP_NO_HOST",
                    hint=last.hint,
                ) from last
            self._cancelled.wait(pause)
            pause = min(self._options.longest_pause, pause * 2)

    def _ask_where(self) -> tuple[WriteEndpoint, ...]:
        self._must_go_on()
        try:
            if endpoints := tuple(self._refresh()):
                return endpoints
            raise Unavailable("The disk can be written nowhere at present.", reason="HTTP_NO_ENDPOINT")
        except _PASSING as error:
            self._notices.add(error.reason, error.message)
            raise

    def _try_all(self, content_length: int) -> HttpPut:
        """The next one only if the one before has certainly not begun to write."""
        failure: XenkeepError | None = None
        for endpoint in self._endpoints:
            self._must_go_on()
            try:
                return self._follow(endpoint, content_length)
            except (*_PASSING, *_REFUSING) as error:
                self._notices.add(error.reason, error.message)
                failure = error
                if error.reason in PERHAPS_TAKEN:
                    break
        assert failure is not None
        raise failure

    def _follow(self, endpoint: WriteEndpoint, content_length: int) -> HttpPut:
        for _ in range(_MOST_REDIRECTS):
            try:
                put = HttpPut(endpoint, content_length, self._options.timeouts)
            except Redirected as elsewhere:
                self._notices.add("HTTP_REDIRECTED", f"{endpoint.peer} redirects the disk to {elsewhere}.")
                endpoint = self._allowed(endpoint, elsewhere)
                continue
            if not self._cancelled.is_set():
                return put
            put.close()
            self._must_go_on()
        raise FailedPrecondition(f"{endpoint.peer} redirects in a circle.", reason="HTTP_REDIRECT_REFUSED")

    def _allowed(self, origin: WriteEndpoint, elsewhere: Redirected) -> WriteEndpoint:
        for endpoint in self._endpoints:
            if (endpoint.address, endpoint.port) == (elsewhere.address, elsewhere.port):
                return endpoint
        raise FailedPrecondition(
            f"{origin.peer} redirects the disk to {elsewhere}, which is none of its write endpoints.",
            reason="HTTP_REDIRECT_REFUSED",
            hint="The disk's owner must name that host, with its certificate.",
            metadata={"host": origin.host_id},
        )

    def _must_go_on(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("Writing the disk was called off.", reason="TARGET_ABORTED")
