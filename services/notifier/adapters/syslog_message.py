"""A notification as a syslog message (RFC 5424) and as a frame of a stream (RFC 6587 section 3.4.1)."""

from datetime import UTC
from typing import Final

from services.notifier.domain.delivery import Delivery
from services.notifier.domain.notification import Notification, Severity
from services.notifier.domain.text import one_line, subject

NIL: Final = "-"
APP_NAME: Final = "xenkeep"
BOM: Final = b"\xef\xbb\xbf"
LEVELS: Final = {Severity.INFO: 6, Severity.WARNING: 4, Severity.ERROR: 3}
"""Informational, Warning, Error (RFC 5424 table 2)."""


def syslog_message(delivery: Delivery, *, facility: int, enterprise: int, hostname: str) -> bytes:
    """The message without framing. Raises nothing: every value is made to fit its field."""
    notification = delivery.notification
    when = notification.occurred_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    kind = notification.event_type.rsplit(".", 1)[-1]
    header = f"<{facility * 8 + LEVELS[notification.severity]}>1 {when} " + " ".join(
        [_name(hostname, 255), APP_NAME, NIL, _name(kind, 32)]
    )
    data = _structured(
        f"{APP_NAME}@{enterprise}",
        {
            "delivery": delivery.delivery_id,
            "event": notification.event_id,
            "type": notification.event_type,
            "incident": notification.incident,
            "about": notification.about,
            "severity": notification.severity.name,
        },
    )
    return header.encode("ascii") + b" " + data.encode() + b" " + BOM + _said(notification).encode()


def octet_counted(message: bytes) -> bytes:
    """`message` preceded by its length in decimal and a space."""
    return str(len(message)).encode("ascii") + b" " + message


def cut(message: bytes, limit: int) -> bytes:
    """At most `limit` bytes of `message`, ending where a UTF-8 character ends."""
    return message if len(message) <= limit else message[:limit].decode("utf-8", "ignore").encode()


def _said(notification: Notification) -> str:
    facts = "; ".join(f"{one_line(label)}: {one_line(value)}" for label, value in notification.details)
    return ". ".join(filter(None, [subject(notification), facts, one_line(notification.advice)]))


def _name(value: str, limit: int) -> str:
    """PRINTUSASCII of at most `limit` characters (RFC 5424 section 6), NILVALUE when nothing is left."""
    return "".join(c if "!" <= c <= "~" else "_" for c in value)[:limit] or NIL


def _structured(sd_id: str, params: dict[str, str]) -> str:
    return f"[{sd_id} " + " ".join(f'{name}="{_escaped(value)}"' for name, value in params.items()) + "]"


def _escaped(value: str) -> str:
    """RFC 5424 section 6.3.3: backslash, quote and closing bracket are escaped."""
    line = one_line(value)
    return line.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
