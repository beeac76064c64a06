"""How fast data may be sent follows the clock on the wall."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.chassis.errors import InvalidInput
from services.mover.domain.line import Ask, Line, Share
from services.mover.domain.rates import LOOK_SECONDS, RateLimit, RateLimits

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MIB = 1 << 20


class Allowance:
    """Of one copy that has its line for itself."""

    def __init__(self, limits: RateLimits) -> None:
        self._line, self._share = Line(), Share(limits)

    def take(self, size: int, now: datetime, monotonic: float) -> float:
        ask = Ask(self._share, size)
        wait = self._line.take(ask, now, monotonic)
        self._line.withdraw(ask)
        return wait


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 6, 1, hour, minute, tzinfo=UTC)


def test_without_limits_nothing_waits() -> None:
    allowance = Allowance(RateLimits())
    assert [allowance.take(1 << 40, NOON, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("moment", "rate"),
    [(at(7, 59), None), (at(8), 5), (at(17, 59), 5), (at(18), None), (at(22), 9), (at(3), 9), (at(6), None)],
)
def test_a_limit_holds_for_its_part_of_the_day_and_over_midnight(moment: datetime, rate: int | None) -> None:
    limits = RateLimits((RateLimit(8 * 60, 18 * 60, 5), RateLimit(22 * 60, 6 * 60, 9)))
    assert limits.at(moment) == rate


def test_the_lowest_of_several_counts_and_equal_ends_are_all_day() -> None:
    limits = RateLimits((RateLimit(0, 0, 100), RateLimit(12 * 60, 13 * 60, 7)))
    assert (limits.at(at(12, 30)), limits.at(at(13))) == (7, 100)


def test_times_are_those_of_the_zone_on_that_day() -> None:
    limits = RateLimits((RateLimit(8 * 60, 18 * 60, 5),), "Europe/Berlin")
    winter, summer = datetime(2026, 1, 5, 6, 30, tzinfo=UTC), datetime(2026, 7, 6, 6, 30, tzinfo=UTC)
    assert (limits.at(winter), limits.at(summer)) == (None, 5)


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (datetime(2026, 3, 28, tzinfo=UTC), 4),
        (datetime(2026, 3, 29, tzinfo=UTC), 3),  # 02:00 to 03:00 is not there
        (datetime(2026, 10, 25, tzinfo=UTC), 5),  # 02:00 to 03:00 is there twice
    ],
)
def test_on_the_day_the_clocks_change_a_limit_holds_by_the_clock_on_the_wall(
    day: datetime, hours: int
) -> None:
    limits = RateLimits((RateLimit(1 * 60, 5 * 60, 5),), "Europe/Berlin")
    midnight = day.replace(tzinfo=None).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    quarters = [limits.at(midnight + timedelta(minutes=15 * each)) for each in range(4 * 12)]
    assert quarters.count(5) == 4 * hours
    assert quarters[:4] == [None] * 4


def test_a_limit_over_midnight_holds_on_both_sides_of_it_and_of_a_change_of_the_clocks() -> None:
    limits = RateLimits((RateLimit(22 * 60, 4 * 60, 5),), "America/New_York")
    for evening in (datetime(2026, 3, 8, 3, tzinfo=UTC), datetime(2026, 11, 1, 2, tzinfo=UTC)):
        assert limits.at(evening - timedelta(minutes=1)) is None
        assert limits.at(evening) == limits.at(evening + timedelta(hours=2)) == 5


def test_bytes_that_are_owed_when_the_rate_changes_are_paid_at_the_new_one() -> None:
    day, night = RateLimit(8 * 60, 20 * 60, MIB), RateLimit(20 * 60, 8 * 60, 16 * MIB)
    allowance = Allowance(RateLimits((day, night)))
    sent = {"day": 0, "night": 0}
    moment, monotonic = at(19, 59), 1000.0
    while moment < at(20, 1):
        wait = allowance.take(256 << 10, moment, monotonic)
        sent["day" if moment < at(20) else "night"] += 0 if wait else 256 << 10
        moment, monotonic = moment + timedelta(seconds=wait), monotonic + wait
    assert sent["day"] == pytest.approx(60 * MIB, abs=MIB)
    assert sent["night"] == pytest.approx(16 * 60 * MIB, abs=17 * MIB)


def test_a_wall_clock_that_is_set_changes_the_limit_and_never_what_was_sent() -> None:
    allowance = Allowance(RateLimits((RateLimit(8 * 60, 18 * 60, MIB),)))
    assert allowance.take(4 * MIB, at(12), 0.0) == 0.0
    assert allowance.take(MIB, at(9), 1.0) == LOOK_SECONDS  # three are owed still
    assert allowance.take(MIB, at(7), 1.0) == 0.0
    assert allowance.take(MIB, at(12), 1.0) == 0.0


def test_over_a_long_time_exactly_the_rate_is_sent() -> None:
    allowance = Allowance(RateLimits((RateLimit(0, 0, MIB),)))
    now, sent = 100.0, 0
    while now < 1100.0:
        wait = allowance.take(256 << 10, NOON, now)
        assert wait <= LOOK_SECONDS
        sent += 0 if wait else 256 << 10
        now += wait
    assert abs(sent - 1000 * MIB) <= MIB


def test_a_limit_that_begins_or_ends_is_seen_within_a_second() -> None:
    allowance = Allowance(RateLimits((RateLimit(8 * 60, 18 * 60, 1),)))
    assert allowance.take(MIB, at(12), 0.0) == 0.0
    assert allowance.take(MIB, at(12), 1.0) == LOOK_SECONDS
    assert allowance.take(MIB, at(18), 2.0) == 0.0


def test_a_rate_of_nothing_sends_nothing() -> None:
    allowance = Allowance(RateLimits((RateLimit(0, 0, 0),)))
    assert allowance.take(1, NOON, 0.0) == allowance.take(1, NOON + timedelta(hours=5), 1e6) == LOOK_SECONDS


@pytest.mark.parametrize(("start", "end"), [(-1, 0), (0, 1440)])
def test_what_is_no_time_of_a_day_is_refused(start: int, end: int) -> None:
    with pytest.raises(InvalidInput, match="no times"):
        RateLimit(start, end, 1)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        RateLimits((), "Mars/Olympus")
