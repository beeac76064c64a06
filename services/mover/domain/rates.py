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
