"""Numbers as people say them."""

from datetime import timedelta


def size(amount: int) -> str:
    """`12.3 GiB`; bytes are not broken."""
    value, unit = float(amount), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{amount} B" if unit == "B" else f"{value:.1f} {unit}"


def duration(span: timedelta) -> str:
    """`2 h 5 min`, `4 min 10 s`, `9 s`; a negative span (clocks disagree) is `0 s`."""
    seconds = max(0, round(span.total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def count(number: int, noun: str) -> str:
    """`1 VM`, `3 VMs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
