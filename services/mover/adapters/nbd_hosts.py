"""Which of a disk's endpoints to use next: a pure table over a monotonic clock's readings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_sharing import NbdSharing


@dataclass
class _Rest:
    """An endpoint that failed, and may be tried again at ``until``."""

    failures: int = 0
    until: float = 0.0


@dataclass
class NbdHosts:
    """Spreads connections over hosts, lets failed ones rest, and longer each time.

    A shunned host is full, or silent from here: whoever says where the disk is does not know of that.

    ``per_host`` limits what one disk takes of the 16 connections that a host has for everybody. What an
    endpoint says of its host is for all disks that ``sharing`` knows to be read.
    """

    endpoints: Sequence[NbdEndpoint]
    per_host: int
    first_rest: float
    longest_rest: float
    sharing: NbdSharing = field(default_factory=NbdSharing)
    _open: Counter[str] = field(default_factory=Counter)
    _rests: dict[NbdEndpoint, _Rest] = field(default_factory=dict)
    _shunned: dict[str, _Rest] = field(default_factory=dict)

    def replace(self, endpoints: Sequence[NbdEndpoint]) -> None:
        """Fresh word of where the disk is: past failures no longer count, but shunned hosts stay so."""
        self.endpoints = tuple(endpoints)
        self._rests.clear()

    def choose(self, now: float) -> NbdEndpoint | None:
        """The endpoint of the least used host that is ready, or None. It counts as open from now on."""
        ready = [
            endpoint
            for endpoint in self.endpoints
            if self._has_room(endpoint) and self._ready_at(endpoint) <= now
        ]
        if not ready:
            return None
        chosen = min(ready, key=lambda endpoint: self._open[endpoint.host_id])
        self._count(chosen.host_id, 1)
        return chosen

    def next_ready(self) -> float | None:
        """When the first resting endpoint may be tried again."""
        times = [self._ready_at(endpoint) for endpoint in self.endpoints if self._has_room(endpoint)]
        return min(times, default=None)

    def opened(self, endpoint: NbdEndpoint) -> None:
        """It works: its past is forgotten."""
        self._rests.pop(endpoint, None)
        self._shunned.pop(endpoint.host_id, None)

    def failed(self, endpoint: NbdEndpoint, now: float) -> None:
        """It could not be opened, or a connection to it broke."""
        self._let_rest(self._rests.setdefault(endpoint, _Rest()), now)
        self.closed(endpoint)

    def shun(self, endpoint: NbdEndpoint, now: float) -> None:
        """Its host takes no more connections, or does not answer."""
        self._let_rest(self._shunned.setdefault(endpoint.host_id, _Rest()), now)
        self.closed(endpoint)

    def closed(self, endpoint: NbdEndpoint) -> None:
        """A connection to it is gone."""
        self._count(endpoint.host_id, -1)

    def is_shared(self) -> bool:
        """Whether what may be opened is shared with others, and may be more or less by now."""
        return any(endpoint.max_connections for endpoint in self.endpoints)

    def too_many(self, host_id: str) -> bool:
        """Whether more is open at a host than it is allowed by now; one that is not named is left alone."""
        told = [each.max_connections for each in self.endpoints if each.host_id == host_id]
        return bool(told) and 0 < max(told) and self.sharing.part(max(told)) < self._open[host_id]

    def others_have_it(self) -> bool:
        """Whether nothing is open here, and no host has room, because of the other disks that are read."""
        return (
            bool(self.endpoints)
            and not any(self._open.values())
            and all(self._taken_by_others(endpoint) for endpoint in self.endpoints)
        )

    def _has_room(self, endpoint: NbdEndpoint) -> bool:
        share = endpoint.max_connections
        most = min(self.per_host, self.sharing.part(share)) if share else self.per_host
        return self._open[endpoint.host_id] < most and not self._taken_by_others(endpoint)

    def _taken_by_others(self, endpoint: NbdEndpoint) -> bool:
        return 0 < endpoint.max_connections <= self.sharing.open[endpoint.host_id]

    def _count(self, host_id: str, change: int) -> None:
        self._open[host_id] += change
        self.sharing.open[host_id] += change

    def _ready_at(self, endpoint: NbdEndpoint) -> float:
        rests = (self._rests.get(endpoint), self._shunned.get(endpoint.host_id))
        return max((rest.until for rest in rests if rest), default=0.0)

    def _let_rest(self, rest: _Rest, now: float) -> None:
        rest.until = now + min(self.longest_rest, self.first_rest * 2**rest.failures)
        rest.failures = min(rest.failures + 1, 16)
