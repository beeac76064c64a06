"""How fast data may be sent, by the time of day."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from services.chassis.errors import InvalidInput

MINUTES_A_DAY = 24 * 60
LOOK_SECONDS = 1.0
"""However long there is to wait, the limits are looked at again after so long: they change with the hour."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Holds every day from ``start_minute`` until ``end_minute``, over midnight if that is not after it.

    ``bytes_per_second`` 0 sends nothing.
    """

    start_minute: int
    end_minute: int
    bytes_per_second: int

    def __post_init__(self) -> None:
        if not all(0 <= minute < MINUTES_A_DAY for minute in (self.start_minute, self.end_minute)):
            raise InvalidInput(
                f"Minutes {self.start_minute} and {self.end_minute} are no times of a day.",
                reason="RATE_LIMIT_INVALID",
                hint=f"Give 0 to {MINUTES_A_DAY - 1}.",
            )

    def holds(self, minute: int) -> bool:
        if self.start_minute < self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Of several that hold the lowest counts. ``time_zone`` is an IANA name; empty is UTC."""

    limits: tuple[RateLimit, ...] = ()
    time_zone: str = ""

    def __post_init__(self) -> None:
        self._zone()

    def at(self, moment: datetime) -> int | None:
        """Bytes a second at an aware ``moment``; None when nothing limits them."""
        local = moment.astimezone(self._zone())
        minute = 60 * local.hour + local.minute
        return min((limit.bytes_per_second for limit in self.limits if limit.holds(minute)), default=None)

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.time_zone or "UTC")
        except (KeyError, ValueError, OSError):
            raise InvalidInput(
                f"There is no time zone {self.time_zone[:64]!r}.",
                reason="TIME_ZONE_UNKNOWN",
                hint="Use a name of the IANA time zone database, for example Europe/Berlin.",
            ) from None


UNLIMITED = RateLimits()


class Allowance:
    """What may be sent now. One thread at a time."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._debt = 0.0
        self._seen = 0.0

    def take(self, size: int, now: datetime, monotonic: float) -> float:
        """0 when ``size`` bytes may be sent now, and they count as sent; else seconds to wait and ask again.

        ``monotonic`` are seconds that never go back. Something is always let go when nothing is owed, so a
        single part may be larger than a second's worth; what follows waits for it.
        """
        rate = self._limits.at(now)
        if rate is None:
            self._debt = 0.0
            return 0.0
        self._debt = max(0.0, self._debt - rate * max(0.0, monotonic - self._seen))
        self._seen = monotonic
        if rate == 0:
            return LOOK_SECONDS
        if self._debt > 0:
            return min(LOOK_SECONDS, self._debt / rate)
        self._debt = float(size)
        return 0.0
