"""A store in a bucket."""

import base64
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from services.chassis.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from services.mover.repository.format.names import HEADER
from services.mover.repository.probe import StoreFacts
from services.mover.repository.store import StoredObject, require_possible
from services.mover.repository.stores.s3_errors import status_of, translate
from services.mover.repository.stores.s3_place import S3Place, connect
from services.mover.repository.types import Bytes, Entropy

_T = TypeVar("_T")
_ATTEMPTS = 6
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_PROBE = ".probe-"
_WRITER = "xenkeep-put"
_ABANDONED = timedelta(days=1)


class S3Store:
    """One object per object, created by ``If-None-Match: *`` (RFC 9110, 13.1.2) and nothing else.

    Every request may be repeated: a put whose answer was lost finds its own mark in the object's metadata.
    Before its first put a store proves that the server keeps an existing object; one that overwrites is
    refused, since several writers rely on it. Credentials are read again when their file changes.
    """

    def __init__(
        self,
        place: S3Place,
        *,
        credentials: Path | None = None,
        ca: Path | None = None,
        entropy: Entropy = os.urandom,
        pause: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_notice: Callable[[str, str], None] | None = None,
    ) -> None:
        """``credentials`` is the directory of credential files, ``ca`` a PEM file of trusted authorities."""
        self._place, self._credentials, self._ca = place, credentials, ca
        self._entropy, self._pause, self._now = entropy, pause, now
        self._notice = on_notice or _log
        self._lock = threading.Lock()
        self._connected: tuple[object, Any] = (None, None)
        self._proven = False

    @property
    def location(self) -> str:
        return self._place.url

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        self._prove()
        self._create(name, b"".join(parts))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if length == 0 or (length is None and offset and offset >= self.size(name)):
            if offset > self.size(name):
                raise _short(name)
            return b""
        if length is None and not offset:
            return self._try("read", name, lambda s3: self._read(s3, name, {"ChecksumMode": "ENABLED"}, None))
        end = "" if length is None else str(offset + length - 1)
        data = self._try(
            "read", name, lambda s3: self._read(s3, name, {"Range": f"bytes={offset}-{end}"}, offset)
        )
        if length is not None and len(data) != length:
            raise _short(name)
        return data

    def size(self, name: str) -> int:
        found = self._try("find", name, lambda s3: s3.head_object(**self._at(name)))
        return int(found["ContentLength"])

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for key, size, _ in self._keys(prefix):
            if key and not any(part.startswith(".") for part in key.split("/")) and not key.endswith("/"):
                yield StoredObject(key, size)

    def delete(self, name: str) -> None:
        self.size(name)  # S3 confirms the deletion of what is not there
        self._delete(name)

    def sweep(self) -> int:
        """Objects of proofs that were cut short; those of the last day may belong to one that runs."""
        old = [key for key, _, changed in self._keys(_PROBE) if self._now() - changed > _ABANDONED]
        for key in old:
            self._delete(key)
        return len(old)

    def facts(self) -> StoreFacts:
        """What the bucket says of itself; what it does not know, or tell, counts as not there."""
        versioned = self._told(lambda s3: s3.get_bucket_versioning(Bucket=self._place.bucket))
        lock = self._told(lambda s3: s3.get_object_lock_configuration(Bucket=self._place.bucket))
        theirs = str(versioned.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
        ahead = None
        with suppress(ValueError):
            ahead = parsedate_to_datetime(theirs) - self._now()
        return StoreFacts(
            versioned=versioned.get("Status") == "Enabled",
            object_lock=lock.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled",
            clock_ahead=ahead,
        )

    def settle(self, prefix: str) -> None:
        """What a bucket lists is durable."""

    def free_bytes(self) -> int | None:
        return None

    def _prove(self) -> None:
        """The header, put again as it is, must be refused; without one, an object made for this."""
        if self._proven:
            return
        try:
            if not self._kept(HEADER, self.get(HEADER)):
                raise _overwrites(self.location)
        except NotFound:
            name = _PROBE + self._entropy(8).hex()
            self._create(name, b"Does this store keep an object that exists?")
            kept = self._kept(name, b"It does not.")
            self._delete(name)
            if not kept:
                raise _overwrites(self.location) from None
        self._proven = True

    def _kept(self, name: str, content: bytes) -> bool:
        try:
            self._try("write", name, lambda s3: self._put_once(s3, name, content, self._mark()))
        except AlreadyExists:
            return True
        return False

    def _create(self, name: str, content: bytes) -> None:
        mark = self._mark()
        try:
            self._try("write", name, lambda s3: self._put_once(s3, name, content, mark))
        except AlreadyExists:
            if not self._is_ours(name, content, mark):
                raise

    def _put_once(self, s3: Any, name: str, content: bytes, mark: str) -> None:
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        answer = s3.put_object(
            **self._at(name), Body=content, IfNoneMatch="*", ChecksumSHA256=checksum, Metadata={_WRITER: mark}
        )
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise DataLoss(
                f"{name} was stored as something else than was sent.",
                reason="STORE_CORRUPTS",
                hint="Check the S3 server and what is between.",
                metadata={"object": name},
            )

    def _delete(self, name: str) -> None:
        self._try("delete", name, lambda s3: s3.delete_object(**self._at(name)))

    def _told(self, call: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        try:
            return self._try("describe", "the bucket", call)
        except (NotFound, FailedPrecondition, PermissionDenied) as error:
            cause = error.__cause__
            return dict(cause.response) if isinstance(cause, ClientError) else {}

    def _is_ours(self, name: str, content: bytes, mark: str) -> bool:
        """Whether the name is taken by this very put, whose answer was lost."""
        found = self._try("find", name, lambda s3: s3.head_object(**self._at(name)))
        ours = found.get("Metadata", {}).get(_WRITER) == mark
        if ours and self.get(name) != content:
            raise DataLoss(
                f"{name} reads back as something else than was sent.",
                reason="STORE_CORRUPTS",
                hint="Check the S3 server and what is between.",
                metadata={"object": name},
            )
        return bool(ours)

    def _read(self, s3: Any, name: str, how: dict[str, str], offset: int | None) -> bytes:
        """Raises Unavailable for an answer to another question, BotoCoreError for a cut one."""
        try:
            answer = s3.get_object(**self._at(name), **how)
        except ClientError as error:
            if status_of(error) == 416:
                raise _short(name) from error
            raise
        try:
            require_possible(name, int(answer["ContentLength"]))
        except DataLoss:
            answer["Body"].close()
            raise
        data: bytes = answer["Body"].read()
        if offset is None:
            return data
        start = str(answer.get("ContentRange", "")).removeprefix("bytes ").partition("-")[0]
        if start != str(offset):
            raise Unavailable(
                f"The store answered with another part of {name} than was asked for.",
                reason="STORE_WRONG_RANGE",
                hint="Check the S3 server and what is between.",
                metadata={"object": name},
            )
        return data

    def _keys(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """Name, size, time of all keys, a thousand at a time."""
        root = self._place.prefix
        asked: dict[str, str] = {"Bucket": self._place.bucket, "Prefix": root + prefix}
        while True:
            page = self._try("list", prefix or "all", lambda s3: s3.list_objects_v2(**asked))
            for found in page.get("Contents", ()):
                if found["Key"].startswith(root + prefix):
                    yield found["Key"].removeprefix(root), int(found["Size"]), found["LastModified"]
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if not token or token == asked.get("ContinuationToken"):
                raise Unavailable(
                    f"The store's list of {prefix or 'all'} does not end.",
                    reason="STORE_LIST_ENDLESS",
                    hint="Check the S3 server.",
                )
            asked["ContinuationToken"] = token

    def _try(self, doing: str, name: str, call: Callable[[Any], _T]) -> _T:
        """Repeats what may pass, longer and longer apart; each repetition is told."""
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call(self._client())
            except (ClientError, BotoCoreError) as error:
                told = translate(error, doing, name, self._now())
                if not isinstance(told, Unavailable) or attempt == _ATTEMPTS:
                    raise told from error
            except Unavailable as error:
                told = error
                if attempt == _ATTEMPTS:
                    raise
            self._notice("STORE_RETRIED", f"{told.message} It is tried again in {pause:.1f} s.")
            self._pause(pause * (0.5 + self._entropy(1)[0] / 512))
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("unreachable")

    def _client(self) -> Any:
        """Connected with the credentials as they are now."""
        version: object = None
        if self._credentials is not None:
            with suppress(OSError):
                found = (self._credentials / self._place.credentials).stat()
                version = (found.st_ino, found.st_mtime_ns, found.st_size)
        with self._lock:
            known, client = self._connected
            if client is None or known != version:
                client = connect(self._place, self._credentials, self._ca)
                self._connected = (version, client)
            return client

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._place.prefix + name}

    def _mark(self) -> str:
        return self._entropy(16).hex()


def _short(name: str) -> DataLoss:
    return DataLoss(f"{name} is shorter than expected.", reason="OBJECT_SHORT", metadata={"object": name})


def _overwrites(location: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The store at {location} overwrites objects that exist: it ignores If-None-Match.",
        reason="STORE_UNSUITABLE",
        hint="Use an S3 server with conditional writes; without them two writers could destroy each other's"
        " work. `xenkeep repo probe` tells what a store can do.",
    )


def _log(code: str, message: str) -> None:
    logging.getLogger(__name__).warning("%s: %s", code, message)
