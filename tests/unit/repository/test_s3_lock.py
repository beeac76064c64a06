"""Until when what is put is locked: in the whole seconds that S3 knows, and never too short."""

from datetime import UTC, datetime, timedelta

from services.mover.repository.stores.s3_lock import ahead

HOUR = timedelta(hours=1)


def test_a_lock_is_rounded_up_and_never_down() -> None:
    for microsecond in (0, 1, 999_999):
        now = datetime(2026, 1, 1, 12, 0, 0, microsecond, tzinfo=UTC)
        until = ahead(HOUR, now)
        assert (0, True) == (until.microsecond, until >= now + HOUR + HOUR / 4)
        assert until <= now + HOUR + HOUR / 4 + timedelta(seconds=1)
