"""Numbers, switches and durations as people write them. Each raises ValueError with a clause that fits after
a name.
"""

import math
import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,6})?(?:ms|s|m|h|d|w))+")
_DURATION_PART = re.compile(r"([\d.]+)(ms|s|m|h|d|w)")
_SWITCHES = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def parse_int(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(f"must be a whole number, not {text!r}")
    return int(text)


def parse_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"must be a number, not {text!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"must be a finite number, not {text!r}")
    return value


def parse_bool(text: str) -> bool:
    try:
        return _SWITCHES[text.lower()]
    except KeyError:
        raise ValueError(f"must be true or false, not {text!r}") from None


def parse_duration(text: str) -> timedelta:
    """Units ms, s, m, h, d, w, one after another: ``90s``, ``1h30m``, ``7d``."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"must be a duration such as 90s, 1h30m or 7d, not {text!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"is too long a duration: {text!r}") from None
