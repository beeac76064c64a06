"""How a notification reads: subject, plain text, short message. Every value is made harmless here."""

import unicodedata
from datetime import UTC

from services.notifier.domain.gsm7 import segments
from services.notifier.domain.notification import Notification, Severity

TAGS = {Severity.INFO: "OK", Severity.WARNING: "WARN", Severity.ERROR: "FAIL"}
ELLIPSIS = "..."
SUBJECT_CHARACTERS = 200
VALUE_CHARACTERS = 1000


def one_line(text: str, limit: int = VALUE_CHARACTERS) -> str:
    """`text` with line breaks, control and format characters as spaces, at most `limit` characters.

    Names of VMs and error texts come from outside: they may neither break a mail header or a syslog
    frame nor turn the reading direction of the line around (Unicode categories Cc, Cf, Zl, Zp, Cs).
    """
    harmless = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else c for c in text)
    return shortened(" ".join(harmless.split()), limit)


def shortened(text: str, limit: int) -> str:
    """`text` itself, or its beginning with an ellipsis so that it has `limit` characters."""
    return text if len(text) <= limit else text[: max(0, limit - len(ELLIPSIS))].rstrip() + ELLIPSIS


def subject(notification: Notification) -> str:
    """For example `[FAIL] nightly: 2 of 14 VMs were not backed up`."""
    about, headline = one_line(notification.about), one_line(notification.headline)
    return shortened(f"[{TAGS[notification.severity]}] {about}: {headline}", SUBJECT_CHARACTERS)


def plain_text(notification: Notification) -> str:
    """The whole notification as lines: what happened, the details, what to do."""
    lines = [f"{one_line(notification.about)}: {one_line(notification.headline)}", ""]
    lines += [f"{one_line(label)}: {one_line(value)}" for label, value in facts(notification)]
    if notification.advice:
        lines += ["", f"What to do: {one_line(notification.advice)}"]
    return "\n".join(lines) + "\n"


def facts(notification: Notification) -> tuple[tuple[str, str], ...]:
    """The details, preceded by when it happened (UTC, to the second) and followed by where it comes from."""
    when = notification.occurred_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        ("When", when),
        *notification.details,
        ("Event", f"{notification.event_type} {notification.event_id}"),
    )


def short_text(notification: Notification) -> str:
    """A text message: the subject, and the advice when both fit one segment (160 GSM-7, 70 UCS-2)."""
    with_advice = f"{subject(notification).rstrip('.')}. {one_line(notification.advice)}"
    fits = notification.advice and len(segments(with_advice).bodies) == 1
    return with_advice if fits else subject(notification)
