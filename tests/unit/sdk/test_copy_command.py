"""What can be typed after ``xenkeep repo copy``."""

from datetime import UTC, datetime, timedelta

import pytest
from typer._click.exceptions import UsageError

from tests.unit.sdk.test_documented_commands import parsed

COPY = ["repo", "copy", "main", "/mnt/usb/main"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("10M", (0, 0, 10 << 20)),
        ("0", (0, 0, 0)),
        ("512K", (0, 0, 512 << 10)),
        ("08:00-18:30=2M", (480, 1110, 2 << 20)),
        ("22:00-06:00=1G", (1320, 360, 1 << 30)),
    ],
)
def test_a_limit_is_bytes_a_second_and_perhaps_a_part_of_the_day(
    typed: str, expected: tuple[int, int, int]
) -> None:
    (limit,) = parsed([*COPY, "--limit", typed]).params["limit"]
    assert (limit.start_minute, limit.end_minute, limit.bytes_per_second) == expected


@pytest.mark.parametrize(
    "typed", ["", "fast", "-1", "10T", "8-18=2M", "08:00-24:00=2M", "08:60-09:00=2M", "1.5M"]
)
def test_what_is_no_limit_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(UsageError, match="08:00-18:00=2M"):
        parsed([*COPY, f"--limit={typed}"])


def test_an_age_or_a_date_says_since_when() -> None:
    before = datetime.now(UTC)
    since = parsed([*COPY, "--since", "30d"]).params["since"]
    assert before <= since + timedelta(days=30) <= datetime.now(UTC)
    assert parsed([*COPY, "--since", "2026-01-31T10:00:00Z"]).params["since"] == datetime(
        2026, 1, 31, 10, tzinfo=UTC
    )
    assert parsed([*COPY, "--since", "2026-01-31"]).params["since"].tzinfo is not None
    with pytest.raises(UsageError, match="such as 2026-01-31"):
        parsed([*COPY, "--since", "yesterday"])


def test_several_assets_and_limits_may_be_named() -> None:
    words = [*COPY, "--asset", "mail", "--asset", "web", "--limit", "1M", "--limit", "08:00-18:00=2K"]
    params = parsed([*words, "--newest", "2", "--time-zone", "Europe/Berlin"]).params
    assert (list(params["asset"]), len(params["limit"])) == (["mail", "web"], 2)
    assert (params["newest"], params["time_zone"]) == (2, "Europe/Berlin")
    with pytest.raises(UsageError):
        parsed([*COPY, "--newest", "-1"])
