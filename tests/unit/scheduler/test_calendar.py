"""When schedules fire."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidInput
from services.scheduler.domain.calendar import check_schedule, firings_between, next_firing, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
SCHEDULES = [
    "0 22 * * *",
    "30 2 * * *",
    "45 1 * * *",
    "*/15 * * * *",
    "0 */6 * * *",
    "0 3 * * MON-FRI",
    "0 4 L * *",
]


def _local(moment: datetime) -> str:
    return moment.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 32 * *", "x y z a b"]
)
def test_a_schedule_that_cannot_be_read_is_refused(expression: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_schedule(expression)
    assert refused.value.reason == "SCHEDULE_INVALID"


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6 *", "15 3 31 9 *"])
def test_a_schedule_of_a_day_no_year_has_is_refused_for_that_reason(expression: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_schedule(expression)
    assert refused.value.reason == "SCHEDULE_NEVER_FIRES"


def test_a_schedule_of_a_rare_day_is_accepted() -> None:
    check_schedule("0 0 29 2 *")
    assert next_firing("0 0 29 2 *", ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC)) == datetime(
        2028, 2, 29, tzinfo=UTC
    )


@given(st.text(max_size=40))
def test_any_text_is_either_accepted_or_refused_with_a_reason(expression: str) -> None:
    try:
        check_schedule(expression)
    except InvalidInput as error:
        assert error.reason in ("SCHEDULE_INVALID", "SCHEDULE_NEVER_FIRES")


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../../etc/passwd", "/etc/localtime", "a\0b", "."])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        zone_of(name)
    assert refused.value.reason == "TIME_ZONE_UNKNOWN"


@pytest.mark.scenario(15)
def test_a_time_that_is_skipped_in_spring_fires_as_soon_as_it_has_passed() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    first = next_firing("30 2 * * *", BERLIN, before)
    assert [_local(first), _local(next_firing("30 2 * * *", BERLIN, first))] == [
        "2026-03-29 03:00",
        "2026-03-30 02:30",
    ]


@pytest.mark.scenario(15)
def test_a_time_that_comes_twice_in_autumn_fires_once() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)
    until = before + timedelta(days=1)
    assert firings_between("30 2 * * *", BERLIN, before, until) == 1


@pytest.mark.scenario(15)
def test_within_the_repeated_hour_the_next_firing_is_never_in_the_past() -> None:
    second_0245 = datetime(2026, 10, 25, 1, 45, tzinfo=UTC)
    assert _local(next_firing("50 2 * * *", BERLIN, second_0245)) == "2026-10-26 02:50"


@given(
    st.sampled_from(SCHEDULES),
    st.sampled_from(ZONES),
    st.integers(0, 5 * 366 * 86400).map(lambda s: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=s)),
)
def test_firings_go_forward_and_nothing_lies_between_a_moment_and_its_next_firing(
    expression: str, zone_name: str, after: datetime
) -> None:
    zone = ZoneInfo(zone_name)
    first = next_firing(expression, zone, after)
    assert first > after
    assert next_firing(expression, zone, first - timedelta(microseconds=1)) == first
    assert firings_between(expression, zone, after, first) == 1
