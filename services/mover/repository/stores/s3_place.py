"""Where a repository in S3 is, and how to talk to it."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from services.chassis.errors import FailedPrecondition, InvalidInput

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
"""The longest silence of a connection, while sending as while receiving."""
_CONNECTIONS = 32
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOCK = re.compile(r"[1-9][0-9]{0,7}[dhms]")
_LONGEST_LOCK = timedelta(days=36500)
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_KEYS = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"}


@dataclass(frozen=True, slots=True)
class S3Place:
    """``s3://bucket/prefix?endpoint=…&region=…&credentials=…&lock=…``; ``prefix`` is empty or ends in ``/``.

    ``credentials`` names a file in the operator's directory of credentials: the URL holds no secret.
    ``lock`` is how long points are locked: a number and ``d``, ``h``, ``m`` or ``s``; empty: not at all.
    """

    bucket: str
    prefix: str
    endpoint: str
    region: str
    credentials: str
    lock: str = ""

    @property
    def lock_period(self) -> timedelta | None:
        return timedelta(**{_UNITS[self.lock[-1]]: int(self.lock[:-1])}) if self.lock else None

    @property
    def url(self) -> str:
        """The one way to write it."""
        values = {
            "credentials": self.credentials,
            "endpoint": self.endpoint,
            "lock": self.lock,
            "region": self.region,
        }
        query = urlencode({key: value for key, value in values.items() if value}, safe=":/")
        return f"s3://{self.bucket}/{quote(self.prefix.rstrip('/'))}?{query}"


def parse_place(url: str) -> S3Place:
    """Raises InvalidInput when ``url`` is no place for a repository in S3; repeats no password in it."""
    try:
        parts = urlsplit(url)
        values = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query), errors="strict"))
        names = [name for name in unquote(parts.path, errors="strict").split("/") if name]
        place = S3Place(
            bucket=parts.netloc,
            prefix="".join(f"{name}/" for name in names),
            endpoint=values.pop("endpoint", "").rstrip("/"),
            region=values.pop("region", "us-east-1"),
            credentials=values.pop("credentials", parts.netloc),
            lock=values.pop("lock", ""),
        )
        wrong = _complaint(place, names, values, parts.fragment)
    except (ValueError, UnicodeDecodeError):
        wrong = "it cannot be read"
    if wrong:
        raise InvalidInput(
            f"The S3 URL is not usable: {wrong}.",
            reason="REPOSITORY_URL_INVALID",
            hint="For example s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-1&credentials=file.",
        )
    return place


def connect(place: S3Place, credentials: Path | None, ca: Path | None) -> Any:
    """A client for the place with the credentials as they are in their file now. It repeats nothing itself.

    Raises FailedPrecondition when the credentials cannot be read.
    """
    keys = read_credentials(credentials / place.credentials if credentials else None)
    client = boto3.session.Session(**keys, region_name=place.region).client(
        "s3",
        endpoint_url=place.endpoint or None,
        verify=str(ca) if ca else None,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=_CONNECTIONS,
            s3={"addressing_style": "path" if place.endpoint else "auto"},
            request_checksum_calculation="when_required",
        ),
    )
    client.meta.events.register("needs-retry.s3.HeadBucket", _redirected_is_the_answer)
    return client


def _redirected_is_the_answer(response: tuple[Any, dict[str, Any]] | None, **_: object) -> None:
    """To follow a redirect that names no region botocore asks for the bucket, and again to follow that one's
    redirect, until the stack is full (botocore/utils.py: S3RegionRedirectorv2.get_bucket_region).
    """
    if response is not None and response[0].status_code in (301, 302, 307):
        raise ClientError(response[1], "HeadBucket")


def read_credentials(file: Path | None) -> dict[str, str]:
    """``aws_access_key_id``, ``aws_secret_access_key``, ``aws_session_token``: lines of an AWS profile."""
    try:
        lines = file.read_text("utf-8").splitlines() if file else []
    except (OSError, UnicodeDecodeError):
        lines = []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith(("#", "[")))
    found = {key.strip(): value.strip() for key, _, value in pairs}
    keys = {key: value for key, value in found.items() if key in _KEYS and value}
    if not {"aws_access_key_id", "aws_secret_access_key"} <= keys.keys():
        where = f"{file} is missing or holds none" if file else "no directory of credentials is configured"
        raise FailedPrecondition(
            f"There are no S3 credentials: {where}.",
            reason="STORE_CREDENTIALS_MISSING",
            hint="Set XENKEEP_S3_CREDENTIALS_DIR; a file in it has the lines aws_access_key_id = … and"
            " aws_secret_access_key = …; the URL's credentials= names it, else the bucket does.",
        )
    return keys


def _complaint(place: S3Place, names: list[str], unknown: dict[str, str], fragment: str) -> str:
    if "@" in place.bucket or not _BUCKET.fullmatch(place.bucket):
        return "it names no bucket (credentials are kept in a file and not in the URL)"
    if unknown or fragment:
        return "it has other options than endpoint, region, credentials and lock"
    period = place.lock_period if _LOCK.fullmatch(place.lock) else None
    if place.lock and (period is None or period > _LONGEST_LOCK):
        return "its lock is no time such as 30d, 12h or 90m, of up to 36500 days"
    if any(name.startswith(".") or not name.isprintable() for name in names):
        return "no part of the prefix may start with a dot"
    if not _FILE.fullmatch(place.credentials) or not _REGION.fullmatch(place.region):
        return "its credentials or region is no name"
    if place.endpoint:
        end = urlsplit(place.endpoint)
        if end.username or end.path or end.query or not end.hostname or (end.port or 1) < 1:
            return "its endpoint is not https://host:port"
        if end.scheme != "https" and (end.scheme != "http" or end.hostname not in _LOOPBACK):
            return "its endpoint is not spoken to with TLS"
    return ""
