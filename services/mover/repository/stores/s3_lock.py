"""Object lock: which objects of a bucket nobody may delete, and until when.

Retention in compliance mode, which no identity can shorten or pass by:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.chassis.errors import FailedPrecondition, PermissionDenied
from services.mover.repository.format.lease import REVOCATION_BYTES
from services.mover.repository.format.names import FEATURES, HEADER, KEYS, PACKS, POINTS
from services.mover.repository.probing import StoreFacts

_NEEDED: Final = (HEADER, FEATURES, KEYS, PACKS, POINTS)
"""What a point needs to be restored. The index and epochs are made again from the packs."""
_MODE: Final = "COMPLIANCE"
MARGIN: Final = 4
"""What is put is locked a quarter of the period longer."""


def is_kept(name: str, size: int) -> bool:
    """Whether an object is locked when it is put. A revocation is no point."""
    return name.startswith(_NEEDED) and not (name.startswith(POINTS) and size <= REVOCATION_BYTES)


def with_put(until: datetime) -> dict[str, Any]:
    """The arguments of PutObject that lock what is put, beside ``ChecksumSHA256``.

    Amazon takes no such put that does not say how its checksum was made
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html).
    """
    return {
        "ObjectLockMode": _MODE,
        "ObjectLockRetainUntilDate": until,
        "ChecksumAlgorithm": "SHA256",
    }


def retention(until: datetime) -> dict[str, Any]:
    """The argument of PutObjectRetention."""
    return {"Retention": {"Mode": _MODE, "RetainUntilDate": until}}


def ahead(period: timedelta, now: datetime) -> datetime:
    """Until when an object is locked that is put now; whole seconds, since S3 knows no others."""
    return (now + period + period / MARGIN).replace(microsecond=0) + timedelta(seconds=1)


def until_of(head: dict[str, Any], now: datetime) -> datetime | None:
    """Until when HeadObject says the object is locked; None when it is not, or no more."""
    until = head.get("ObjectLockRetainUntilDate")
    if not isinstance(until, datetime) or not head.get("ObjectLockMode"):
        return None
    until = until.astimezone(UTC)
    return until if until > now else None


def is_locked(name: str, until: datetime) -> PermissionDenied:
    return PermissionDenied(
        f"{name} is locked until {until:%Y-%m-%d %H:%M:%S} UTC.",
        reason="OBJECT_LOCKED",
        hint="Nobody can delete it before; it was locked so that nobody could.",
        metadata={"object": name, "until": until.isoformat()},
    )


def require_able(facts: StoreFacts, location: str) -> None:
    """Raises FailedPrecondition for a bucket that locks nothing, PermissionDenied when it does not tell."""
    if facts.object_lock is None:
        raise PermissionDenied(
            f"Whether the store at {location} locks objects is not known: {facts.untold}",
            reason="STORE_REFUSED",
            hint="Give these credentials the right to read the bucket's object lock configuration"
            " (s3:GetBucketObjectLockConfiguration), or leave lock= out of the URL.",
        )
    if not facts.object_lock:
        raise cannot_lock(location)


def cannot_lock(location: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The store at {location} does not lock objects.",
        reason="STORE_UNSUITABLE",
        hint="Use a bucket that was made with object lock enabled, or leave lock= out of the URL.",
        metadata={"check": "object-lock"},
    )
