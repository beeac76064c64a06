"""A notification as a mail: plain text and HTML, threaded by incident, marked as made by a machine."""

import hashlib
import html
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from services.notifier.domain.delivery import Delivery
from services.notifier.domain.notification import Notification, Severity
from services.notifier.domain.text import facts, one_line, plain_text, subject

COLOURS = {Severity.INFO: "#1a7f37", Severity.WARNING: "#9a6700", Severity.ERROR: "#cf222e"}


def email_message(delivery: Delivery, sender: str) -> EmailMessage:
    """The whole mail, the same bytes for every attempt.

    Message-ID is the delivery, so a relay or reader can drop a repetition; References names the incident's
    own id (RFC 5322 section 3.6.4), which no mail has, so that readers thread whichever mail comes first.
    Auto-Submitted (RFC 3834 section 5) keeps holiday replies away.
    """
    notification = delivery.notification
    domain = sender.rpartition("@")[2]
    incident = hashlib.sha256(notification.incident.encode()).hexdigest()[:32]
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Xenkeep <{sender}>"
    message["To"] = delivery.recipient
    message["Subject"] = subject(notification)
    message["Date"] = format_datetime(delivery.create_time)
    message["Message-ID"] = f"<{delivery.delivery_id}@{domain}>"
    message["References"] = f"<incident-{incident}@{domain}>"
    message["In-Reply-To"] = f"<incident-{incident}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["List-Id"] = f"Xenkeep notifications <{delivery.channel}.xenkeep.{domain}>"
    message.set_content(plain_text(notification))
    message.add_alternative(_html(notification), subtype="html")
    message.set_boundary(f"=_{delivery.delivery_id}")
    return message


def _html(notification: Notification) -> str:
    def cell(text: str) -> str:
        return html.escape(one_line(text))

    rows = "".join(
        f'<tr><td style="padding:2px 12px 2px 0;color:#57606a">{cell(label)}</td><td>{cell(value)}</td></tr>'
        for label, value in facts(notification)
    )
    advice = f"<p><b>What to do:</b> {cell(notification.advice)}</p>" if notification.advice else ""
    return (
        '<!doctype html><html><body style="font-family:sans-serif">'
        f'<p style="border-left:4px solid {COLOURS[notification.severity]};padding-left:8px">'
        f"<b>{cell(notification.about)}</b>: {cell(notification.headline)}</p>"
        f"<table>{rows}</table>{advice}</body></html>"
    )
