"""Connections to one disk: made when needed, spread over hosts, replaced when lost."""

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
from services.mover.adapters.nbd_connection import NbdConnection
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_handshake import HOST_SILENT, NbdTimeouts
from services.mover.adapters.nbd_hosts import NbdHosts
from services.mover.adapters.nbd_sharing import NbdSharing
from services.mover.notice_book import NoticeBook

Refresh = Callable[[], Sequence[NbdEndpoint]]
"""Asks where the disk can be read now. It may block. ``Unavailable``, ``DeadlineExceeded``, ``Aborted`` and
``ResourceExhausted`` are asked again later; any other error ends the read."""

_WORTH_ANOTHER_TRY = (Unavailable, DeadlineExceeded, Aborted, ResourceExhausted)


@dataclass(frozen=True, slots=True)
class NbdPoolOptions:
    """How hard to pull, and how long to wait.

    ``connections`` in all, ``connections_per_host`` at most at one host, ``window`` requests of
    ``request_bytes`` in flight on each. ``patience`` is how many seconds a disk may be out of reach before
    reads fail; pauses between tries grow from ``first_pause`` to ``longest_pause`` seconds. Where
    hosts are shared with others it is asked again every ``share_age`` seconds how much of them may be used.
    """

    connections: int = 4
    connections_per_host: int = 4
    window: int = 4
    request_bytes: int = 1 << 20
    patience: float = 600.0
    first_pause: float = 1.0
    longest_pause: float = 30.0
    share_age: float = 60.0
    plaintext_allowed: bool = False
    timeouts: NbdTimeouts = field(default_factory=NbdTimeouts)


class NbdSupply:
    """Lends connections to threads. All methods may be called from several threads."""

    def __init__(
        self,
        size_bytes: int,
        endpoints: Sequence[NbdEndpoint],
        refresh: Refresh,
        options: NbdPoolOptions,
        notices: NoticeBook,
        monotonic: Callable[[], float] = time.monotonic,
        sharing: NbdSharing | None = None,
    ) -> None:
        self._size_bytes = size_bytes
        self._refresh = refresh
        self._options = options
        self._notices = notices
        self._monotonic = monotonic
        self._sharing = sharing or NbdSharing()
        self._changed = self._sharing.changed
        self._hosts = NbdHosts(
            tuple(endpoints),
            options.connections_per_host,
            options.first_pause,
            options.longest_pause,
            self._sharing,
        )
        self._live: set[NbdConnection] = set()
        self._idle: list[NbdConnection] = []
        self._opening = 0
        self._lost_since = monotonic()
        self._last_failure: XenkeepError | None = None
        self._refreshing = False
        self._refresh_at = 0.0
        self._refresh_pause = options.first_pause
        self._share_until = monotonic() + options.share_age
        self._closed = False

    def take(self) -> NbdConnection:
        """A connection for this thread alone; it must be given back.

        Raises ``Unavailable`` NBD_SOURCE_LOST when none could be made for as long as the patience,
        ``Cancelled`` after ``close``, and what ``refresh`` raises for good.
        """
        since = self._monotonic()
        while True:
            with self._changed:
                self._must_be_open()
                self._sharing.readers.add(self)
                now = self._monotonic()
                endpoint = None
                if renews := self._share_is_old(now):
                    self._refreshing = True
                elif self._idle:
                    return self._idle.pop()
                else:
                    self._must_be_patient(since, now)
                    endpoint = self._hosts.choose(now) if self._has_room() else None
                    if endpoint:
                        self._opening += 1
                    elif self._refresh_is_due(now):
                        self._refreshing = True
                    else:
                        since = self._waited_since(since, now)
                        continue
            if endpoint is None:
                self._ask_where(tell=not renews)
            elif connection := self._open(endpoint):
                return connection

    def give_back(self, connection: NbdConnection) -> None:
        """Once is enough; a connection that failed, has reads outstanding or is one too many is dropped."""
        with self._changed:
            if connection not in self._live:
                return
            whole = connection.failure is None and not connection.outstanding
            surplus = self._hosts.too_many(connection.endpoint.host_id)
            kept = whole and not surplus and not self._closed
            if kept:
                self._idle.append(connection)
            else:
                self._drop(connection)
            self._changed.notify_all()
        if not kept:
            connection.close()

    def wait(self, seconds: float) -> None:
        """Pause, unless closed meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """Close what is idle, interrupt what is not. A thread that is just connecting notices afterwards."""
        with self._changed:
            self._closed = True
            self._sharing.readers.discard(self)
            idle, self._idle = self._idle, []
            self._live.difference_update(idle)
            for connection in idle:
                self._hosts.closed(connection.endpoint)
            busy = tuple(self._live)
            self._changed.notify_all()
        for connection in busy:
            connection.interrupt()
        for connection in idle:
            connection.close()

    def _waited_since(self, since: float, now: float) -> float:
        """Waits; the moment from which patience counts, which is now when other disks had all connections."""
        had_a_turn = not self._hosts.others_have_it()
        self._changed.wait(self._until_something_may_change(since, now) if had_a_turn else None)
        return since if had_a_turn else self._monotonic()

    def _must_be_open(self) -> None:
        if self._closed:
            raise Cancelled("The disk was closed while it was being read.", reason="SOURCE_CLOSED")

    def _must_be_patient(self, since: float, now: float) -> None:
        lost_for = now - max(since, self._lost_since)
        if self._live or self._opening or lost_for <= self._options.patience:
            return
        last = self._last_failure
        raise Unavailable(
            f"No host has given the disk for {lost_for:.0f} s"
            + (f"; at last: {last.message}" if last else "."),
            reason="NBD_SOURCE_LOST",
            hint=last.hint if last else "",
        ) from last

    def _has_room(self) -> bool:
        return len(self._live) + self._opening < self._options.connections

    def _share_is_old(self, now: float) -> bool:
        return not self._refreshing and now >= self._share_until and self._hosts.is_shared()

    def _refresh_is_due(self, now: float) -> bool:
        if self._refreshing or now < self._refresh_at or not self._has_room():
            return False
        ready_at = self._hosts.next_ready()
        return not self._hosts.endpoints or (ready_at is not None and ready_at > now)

    def _until_something_may_change(self, since: float, now: float) -> float | None:
        """Seconds; None when only another thread can change anything, which it then announces."""
        moments = (
            [] if self._live or self._opening else [max(since, self._lost_since) + self._options.patience]
        )
        if self._has_room():
            ready_at = self._hosts.next_ready()
            moments += [ready_at] if ready_at is not None else []
            moments += [] if self._refreshing else [self._refresh_at]
        return min((moment - now for moment in moments if moment > now), default=None)

    def _open(self, endpoint: NbdEndpoint) -> NbdConnection | None:
        try:
            connection = self._connect(endpoint)
        except XenkeepError as error:
            self._notices.add(error.reason, error.message)
            with self._changed:
                self._last_failure = error
                self._rest(endpoint, error)
            return None
        finally:
            with self._changed:
                self._opening -= 1
                self._changed.notify_all()
        return self._admit(connection)

    def _admit(self, connection: NbdConnection) -> NbdConnection:
        with self._changed:
            self._live.add(connection)
            self._hosts.opened(connection.endpoint)
            self._refresh_pause = self._options.first_pause
            if not self._closed:
                return connection
        self.give_back(connection)
        raise Cancelled("The disk was closed while it was being opened.", reason="SOURCE_CLOSED")

    def _connect(self, endpoint: NbdEndpoint) -> NbdConnection:
        options = self._options
        connection = NbdConnection.open(
            endpoint, options.timeouts, plaintext_allowed=options.plaintext_allowed
        )
        if not endpoint.certificate_pem:
            self._notices.add("NBD_PLAINTEXT", f"{endpoint.peer} sends the disk without TLS.")
        if connection.size_bytes > self._size_bytes:
            self._notices.add(
                "NBD_DISK_LARGER",
                f"{endpoint.peer} has {connection.size_bytes} bytes of a disk of {self._size_bytes}.",
            )
        if connection.size_bytes >= self._size_bytes:
            return connection
        connection.close()
        raise FailedPrecondition(
            f"{endpoint.peer} has {connection.size_bytes} bytes of a disk of {self._size_bytes}.",
            reason="NBD_DISK_TOO_SMALL",
            hint="Was the disk resized or replaced since the backup began?",
        )

    def _drop(self, connection: NbdConnection) -> None:
        self._live.discard(connection)
        if not self._live:
            self._lost_since = self._monotonic()
        if connection.failure is None or self._closed:
            self._hosts.closed(connection.endpoint)
            return
        self._last_failure = connection.failure
        self._rest(connection.endpoint, connection.failure)
        self._notices.add(connection.failure.reason, connection.failure.message)

    def _rest(self, endpoint: NbdEndpoint, error: XenkeepError) -> None:
        if isinstance(error, ResourceExhausted) or error.reason == HOST_SILENT:
            self._hosts.shun(endpoint, self._monotonic())
        else:
            self._hosts.failed(endpoint, self._monotonic())

    def _ask_where(self, *, tell: bool) -> None:
        """``tell``: because reading needs it, and not just because some time has passed: then reading goes on
        over what is open, whatever the answer."""
        endpoints: tuple[NbdEndpoint, ...] | None = None
        try:
            endpoints = tuple(self._refresh())
            if tell:
                self._notices.add("NBD_ENDPOINTS_ASKED", "It was asked again where the disk can be read.")
        except _WORTH_ANOTHER_TRY as error:
            if tell:
                self._notices.add(error.reason, error.message)
                self._last_failure = error
        except (FailedPrecondition, PermissionDenied, Unauthenticated) as error:
            if tell:
                raise
            self._notices.add(error.reason, error.message)
        finally:
            with self._changed:
                self._refreshing = False
                self._share_until = self._monotonic() + self._options.share_age
                if tell:
                    self._refresh_at = self._monotonic() + self._refresh_pause
                    self._refresh_pause = min(self._options.longest_pause, self._refresh_pause * 2)
                if endpoints is not None:
                    self._hosts.replace(endpoints)
                self._changed.notify_all()
