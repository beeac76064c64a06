"""What S3 answers, as errors an administrator can act on.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. What a server says in words is not
repeated, since it may repeat an access key.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime

from botocore.exceptions import BotoCoreError, ClientError, SSLError

from services.chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)

OVERWRITING = "try to write again"
_WRONG_KEY = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_REGION = {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "301"}
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507", "EntityTooLarge"}
_PASSING = {"SlowDown", "RequestTimeout", "Throttling", "OperationAborted", "ConditionalRequestConflict"}
_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
_ARCHIVED = {"InvalidObjectState"}
_UNABLE = {"NotImplemented", "501"}

_RIGHTS = {
    "read": "s3:GetObject",
    "find": "s3:GetObject",
    "list": "s3:ListBucket",
    "write": "s3:PutObject",
    OVERWRITING: "s3:PutObject",
    "delete": "s3:DeleteObject",
}


def code_of(error: ClientError) -> str:
    return "".join(c for c in str(error.response.get("Error", {}).get("Code", ""))[:64] if c.isalnum())


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def translate(
    error: ClientError | BotoCoreError, doing: str, name: str, now: datetime, place: str
) -> XenkeepError:
    """The leaf for ``error`` at ``place``; Unavailable when the same request may be repeated at once.

    ``doing`` is a verb that continues 'The store cannot'.
    """
    if isinstance(error, ClientError):
        return _answered(code_of(error), status_of(error), error, doing, name, now, place)
    if isinstance(error, SSLError):
        return FailedPrecondition(
            f"The S3 server of {place} is not trusted, so the store cannot {doing} {name}.",
            reason="STORE_NOT_TRUSTED",
            hint="Give the authority of its certificate as XENKEEP_S3_CA, and the host name it was made for.",
        )
    return Unavailable(
        f"The store at {place} cannot {doing} {name}: {type(error).__name__}.",
        reason="STORE_UNREACHABLE",
        hint="Check the network and the S3 server; the same request may be repeated.",
        metadata={"object": name},
    )


def _answered(
    code: str, status: int, error: ClientError, doing: str, name: str, now: datetime, place: str
) -> XenkeepError:
    about = {"object": name, "code": code}
    said = f"{code} ({status})" if code != str(status) else str(status)  # HEAD is answered without a code
    message = f"The store at {place} cannot {doing} {name}: {said}."
    if code == "NoSuchBucket":
        hint = "Make the bucket, or correct the URL."
        return NotFound(f"The bucket of {place} does not exist.", reason="STORE_MISSING", hint=hint)
    if code == "RequestTimeTooSkewed":
        return FailedPrecondition(
            f"This machine's clock and the S3 server's differ by {_difference(error, now)}.",
            reason="STORE_CLOCK_SKEWED",
            hint="Set both by NTP: requests are signed with the time.",
        )
    if code in _EXPIRED:
        hint = "Put fresh ones into the credentials file; it is read again by itself."
        return PermissionDenied(message, reason="STORE_CREDENTIALS_EXPIRED", hint=hint, metadata=about)
    if code in _WRONG_KEY:
        hint = "Correct the credentials file; it is read again by itself."
        return PermissionDenied(message, reason="STORE_CREDENTIALS_WRONG", hint=hint, metadata=about)
    if code in _ARCHIVED:
        hint = "Restore it from the archive tier, and keep repositories out of archiving rules."
        return FailedPrecondition(message, reason="OBJECT_ARCHIVED", hint=hint, metadata=about)
    if code in _REGION or status in (301, 307):
        hint = "Give the bucket's region and endpoint in the URL."
        return FailedPrecondition(message, reason="STORE_REGION_WRONG", hint=hint, metadata=about)
    if code in _FULL or status == 507:
        hint = "Free or add space, or raise the quota; what was committed is intact."
        return ResourceExhausted(message, reason="STORE_FULL", hint=hint, metadata=about)
    if code in _UNABLE or status == 501:
        hint = "Use an S3 server with conditional writes; `xenkeep repo probe` tells what one can do."
        return FailedPrecondition(message, reason="STORE_UNSUITABLE", hint=hint, metadata=about)
    if status == 404:
        return NotFound(f"{name} does not exist.", reason="OBJECT_MISSING", metadata=about)
    if status == 412:
        return AlreadyExists(f"{name} exists already.", reason="OBJECT_EXISTS", metadata=about)
    if code in _PASSING | _DAMAGED or status in (408, 409, 429) or status >= 500:
        hint = "The same request may be repeated."
        return Unavailable(message, reason="STORE_BUSY", hint=hint, metadata=about)
    if status in (401, 403, 405):
        right = _RIGHTS.get(doing)
        hint = f"Give these credentials the right to do so{f' ({right})' if right else ''};"
        hint += " object locks of the bucket and its policy refuse as well."
        return PermissionDenied(message, reason="STORE_REFUSED", hint=hint, metadata=about)
    hint = "`xenkeep repo probe` tells what this store can do."
    return FailedPrecondition(message, reason="STORE_UNSUITABLE", hint=hint, metadata=about)


def _difference(error: ClientError, now: datetime) -> str:
    try:
        theirs = parsedate_to_datetime(error.response["ResponseMetadata"]["HTTPHeaders"]["date"])
        return f"{abs((theirs - now).total_seconds()):.0f} seconds"
    except (KeyError, TypeError, ValueError):
        return "more than it accepts"
