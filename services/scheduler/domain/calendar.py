"""When a schedule fires: five cron fields read in an IANA time zone.

Daylight saving is treated as Debian's cron(8) does: a fixed time that does not exist fires as soon as it has
passed, one that exists twice fires once; wildcards follow the clock.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from services.chassis.errors import InvalidInput

LONGEST_EXPRESSION = 200
_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def zone_of(name: str) -> ZoneInfo:
    """The zone called ``name``, UTC when empty. Raises InvalidInput TIME_ZONE_UNKNOWN."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        raise InvalidInput(
            f"There is no time zone {name[:64]!r}.",
            reason="TIME_ZONE_UNKNOWN",
            hint="Use a name of the IANA time zone database, for example Europe/Berlin.",
        ) from None


def check_schedule(expression: str) -> None:
    """Raises InvalidInput SCHEDULE_INVALID, or SCHEDULE_NEVER_FIRES for a day that no year has."""
    fields = expression.split()
    if len(expression) > LONGEST_EXPRESSION or len(fields) != 5:
        raise _invalid(expression, "it must have five fields")
    try:
        CronSim(expression, _ANY_DAY)
    except CronSimError as error:
        if _is_sound([*fields[:3], "*", fields[4]]):
            raise _never(expression) from None
        raise _invalid(expression, str(error)) from None
    except (AssertionError, ValueError) as error:
        raise _invalid(expression, "a field cannot be read") from error
    if next(CronSim(expression, _ANY_DAY), None) is None:
        raise _never(expression)


def next_firing(expression: str, zone: ZoneInfo, after: datetime) -> datetime:
    """The first moment later than ``after`` (aware) at which a checked schedule fires, in UTC."""
    for local in CronSim(expression, after.astimezone(zone)):
        moment = local.astimezone(UTC)
        if moment > after:
            return moment
    raise _never(expression)


def firings_between(
    expression: str, zone: ZoneInfo, first: datetime, until: datetime, most: int = 1000
) -> int:
    """How many firings lie in ``(first, until]``; stops counting at ``most``."""
    count, moment = 0, next_firing(expression, zone, first)
    while moment <= until and count < most:
        count, moment = count + 1, next_firing(expression, zone, moment)
    return count


def _is_sound(fields: list[str]) -> bool:
    """Whether the expression would be right but for its month."""
    try:
        CronSim(" ".join([*fields]), _ANY_DAY)
    except (CronSimError, AssertionError, ValueError):
        return False
    return True


def _invalid(expression: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The schedule {expression[:LONGEST_EXPRESSION]!r} cannot be used: {why}.",
        reason="SCHEDULE_INVALID",
        hint='Write minute, hour, day of month, month and day of week, for example "0 22 * * mon-fri".',
    )


def _never(expression: str) -> InvalidInput:
    return InvalidInput(
        f"The schedule {expression!r} would never fire: no year has such a day.",
        reason="SCHEDULE_NEVER_FIRES",
        hint="Choose a day that the month has; L stands for the last day of a month.",
    )
