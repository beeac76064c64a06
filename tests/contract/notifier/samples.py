"""Values the notifier's tests are about."""

from datetime import UTC, datetime

from services.notifier.domain.delivery import Delivery
from services.notifier.domain.notification import Notification, Severity

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


def a_notification(
    *,
    about: str = "nightly",
    headline: str = "1 of 3 VMs was not backed up",
    advice: str = "Read why in the run's tasks and retry it.",
    severity: Severity = Severity.ERROR,
    details: tuple[tuple[str, str], ...] = (("Failed", "db-1: the host went away"),),
) -> Notification:
    return Notification(
        event_id="6b0f4f0e-0000-4000-8000-000000000001",
        event_type="xenkeep.scheduler.v1.RunFailed",
        severity=severity,
        incident="policies/nightly",
        about=about,
        headline=headline,
        advice=advice,
        details=details,
        occurred_at=NOW,
    )


def a_delivery(
    recipient: str = "admin@example.org",
    notification: Notification | None = None,
    *,
    delivery_id: str = "delivery-1",
    channel: str = "operators",
) -> Delivery:
    return Delivery(
        delivery_id=delivery_id,
        channel=channel,
        recipient=recipient,
        notification=notification or a_notification(),
        create_time=NOW,
        next_attempt_time=NOW,
    )
