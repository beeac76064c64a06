"""What several copies may send together, each within its own limits."""

from dataclasses import dataclass, field
from datetime import datetime

from services.mover.domain.rates import LOOK_SECONDS, RateLimits

_PRESENT_SECONDS = 2 * LOOK_SECONDS
"""Who has not asked for so long sends nothing: its limit does not count for the line."""
_SHORTEST_SECONDS = 0.001


@dataclass(slots=True)
class _Debt:
    """Bytes that were sent and that the rate has not covered yet.

    ``made_at`` is the rate they are covered at, at least, whoever has to wait for that.
    """

    owed: float = 0.0
    seen: float = 0.0
    made_at: int = 0

    def seconds(self, rate: int, monotonic: float) -> float:
        """Until nothing is owed at this rate."""
        rate = max(rate, self.made_at)
        self.owed = max(0.0, self.owed - rate * max(0.0, monotonic - self.seen))
        self.seen = monotonic
        return self.owed / rate if rate else LOOK_SECONDS


@dataclass(eq=False, slots=True)
class Share:
    """A copy's part of a line. ``finish`` is what it had of the line, as far as others had their turn too."""

    limits: RateLimits
    debt: _Debt = field(default_factory=_Debt)
    finish: float = 0.0
    _minute: datetime | None = None
    _rate: int | None = None

    def rate(self, now: datetime) -> int | None:
        """As ``limits.at``, whose answer is kept for the minute: everybody who asks asks it of all."""
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._rate = minute, self.limits.at(now)
        return self._rate


@dataclass(eq=False, slots=True)
class Ask:
    """So many bytes that a copy wants to send."""

    share: Share
    size: int


class Line:
    """No copy sends more than its own limit, all together no more than the highest of those that send now.

    Copies that wait take turns by bytes (start-time fair queueing, Goyal, Vin and Cheng 1996): nobody waits
    for one that has nothing to send, and whoever comes late has no claim to what others had before. A copy
    without a limit, at that hour, neither waits nor counts. One thread at a time.
    """

    def __init__(self) -> None:
        self._debt = _Debt()
        self._asked: dict[Share, float] = {}
        self._waiting: list[Ask] = []
        self._turn = 0.0

    def take(self, ask: Ask, now: datetime, monotonic: float) -> float:
        """0 when its bytes may be sent now, and they count as sent; else seconds to wait and ask again.

        ``now`` is aware, ``monotonic`` are seconds that never go back. Something is always let go when
        nothing is owed, so a single part may be larger than a second's worth; what follows waits for it.
        Whoever asks no more without having been let go has to ``withdraw``.
        """
        share, rate = ask.share, ask.share.rate(now)
        if rate is None:
            self._leave(ask)
            return 0.0
        if ask not in self._waiting:
            self._waiting.append(ask)
        self._asked[share] = monotonic
        line_rate = self._rate(now, monotonic)
        wait = max(share.debt.seconds(rate, monotonic), self._debt.seconds(line_rate, monotonic))
        wait = wait or self._until_others_had_theirs(ask, line_rate, now, monotonic)
        if wait:
            return min(LOOK_SECONDS, wait)
        self._turn = self._start(share)
        share.finish = self._turn + ask.size
        share.debt.owed += ask.size
        self._debt.owed += ask.size
        self._debt.made_at = line_rate  # by one that may be gone before a slower one asks
        self.withdraw(ask)
        return 0.0

    def withdraw(self, ask: Ask) -> None:
        """Nobody waits for it any more. Of one that is not waiting nothing happens."""
        if ask in self._waiting:
            self._waiting.remove(ask)

    def _leave(self, ask: Ask) -> None:
        self.withdraw(ask)
        self._asked.pop(ask.share, None)
        ask.share.debt.owed = 0.0
        if not self._asked:
            self._debt.owed = 0.0

    def _rate(self, now: datetime, monotonic: float) -> int:
        """The highest limit of those that asked of late."""
        self._asked = {s: at for s, at in self._asked.items() if monotonic - at <= _PRESENT_SECONDS}
        return max(share.rate(now) or 0 for share in self._asked)

    def _until_others_had_theirs(self, ask: Ask, rate: int, now: datetime, monotonic: float) -> float:
        """0 when nobody who could send now has had less; else how long the first of those will take."""
        mine = self._start(ask.share)
        earlier = True
        for other in self._waiting:
            earlier = earlier and other is not ask
            start = self._start(other.share)
            before = start < mine or (start == mine and earlier)
            if other.share is ask.share or not before:
                continue
            others = other.share.rate(now)
            if others and not other.share.debt.seconds(others, monotonic):
                return max(_SHORTEST_SECONDS, other.size / rate)
        return 0.0

    def _start(self, share: Share) -> float:
        return max(self._turn, share.finish)
