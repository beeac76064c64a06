"""A store in a bucket."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from services.chassis.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
)
from services.mover.repository.format.names import HEADER, KEYS
from services.mover.repository.probing import LockTrial, StoreFacts
from services.mover.repository.store import StoredObject
from services.mover.repository.stores import s3_lock
from services.mover.repository.stores.s3_body import Body, checksum_of, size_of
from services.mover.repository.stores.s3_errors import OVERWRITING
from services.mover.repository.stores.s3_hidden import S3Hidden
from services.mover.repository.stores.s3_reads import S3Reads
from services.mover.repository.types import Bytes

_PROBE = ".probe-"
_WRITER = "xenkeep-put"
_ABANDONED = timedelta(days=1)


class S3Store(S3Reads, S3Hidden):
    """One object per object, created by ``If-None-Match: *`` (RFC 9110, 13.1.2) and nothing else.

    Every request may be repeated: a put whose answer was lost finds its own mark in the object's metadata.
    Before its first put a store proves that the server keeps an existing object; one that overwrites is
    refused, since several writers rely on it. Credentials are read again when their file changes.

    With a lock in its URL it is a ``LockingStore``: what points need is locked from its put on, and deleting
    is deleting the version. A key slot that is locked is hidden instead: it opens nothing here any more.
    """

    _proven = _lock_seen = False
    _hides: bool | None = None

    @property
    def lock_period(self) -> timedelta | None:
        return self._place.lock_period

    @property
    def location(self) -> str:
        return self._place.url

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        self._prove()
        self._create(name, parts)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for key, size, _ in self._keys(prefix):
            if key and not any(part.startswith(".") for part in key.split("/")) and not key.endswith("/"):
                yield StoredObject(key, size)

    def delete(self, name: str) -> None:
        found = self._head(name)  # S3 confirms the deletion of what is not there
        if self.lock_period is None:
            self._delete(name)
            return
        until = s3_lock.until_of(found, self._now())
        if until is None:
            self._delete(name, found.get("VersionId"))
        elif name.startswith(KEYS):
            self._delete(name)
            self._notice(
                "OBJECT_HIDDEN", f"{s3_lock.is_locked(name, until).message} It is hidden until then."
            )
        else:
            raise s3_lock.is_locked(name, until)

    def sweep(self) -> int:
        """Objects of proofs that were cut short; those of the last day may belong to one that runs."""
        old = [key for key, _, changed in self._keys(_PROBE) if self._now() - changed > _ABANDONED]
        return sum(self._remove_proof(key) for key in old)

    def locked_until(self, name: str) -> datetime | None:
        return s3_lock.until_of(self._head(name), self._now())

    def extend_lock(self, name: str, until: datetime) -> None:
        known = self.locked_until(name)
        if known is None or known < until:
            longer = s3_lock.retention(until)
            self._try("lock", name, lambda s3: s3.put_object_retention(**self._at(name), **longer))

    def try_lock(self, name: str, until: datetime) -> LockTrial:
        found = self._try(
            "lock",
            name,
            lambda s3: s3.put_object(
                **self._at(name), Body=b"", ChecksumSHA256=checksum_of(()), **s3_lock.with_put(until)
            ),
        )
        return LockTrial(
            locked=self.locked_until(name) is not None,
            refuses_deletion=self._refuses(lambda: self._delete(name, found.get("VersionId"))),
            refuses_shortening=self._refuses(
                lambda: self._try(
                    "lock",
                    name,
                    lambda s3: s3.put_object_retention(
                        **self._at(name), **s3_lock.retention(until - timedelta(seconds=1))
                    ),
                )
            ),
        )

    def _remove_proof(self, name: str) -> bool:
        """Whoever may only add leaves it to others."""
        try:
            self._delete(name)
        except PermissionDenied as error:
            self._notice("PROOF_KEPT", f"{error.message} It is of no content.")
            return False
        return True

    def _refuses(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except PermissionDenied:
            return True
        except (NotFound, FailedPrecondition):
            return False
        return False

    def facts(self) -> StoreFacts:
        """What the bucket says of itself; what a server has no word for is not there."""
        versioned, why = self._told(lambda s3: s3.get_bucket_versioning(Bucket=self._place.bucket))
        lock, why_else = self._told(lambda s3: s3.get_object_lock_configuration(Bucket=self._place.bucket))
        configured = lock.get("ObjectLockConfiguration", {})
        theirs = str(versioned.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
        ahead = None
        with suppress(ValueError):
            ahead = parsedate_to_datetime(theirs) - self._now()
        return StoreFacts(
            versioned=None if why else versioned.get("Status") == "Enabled",
            object_lock=None if why_else else configured.get("ObjectLockEnabled") == "Enabled",
            clock_ahead=ahead,
            locks_everything="Rule" in configured,
            untold=why or why_else,
        )

    def hides(self) -> bool:
        """Asked once. Where points are locked, deleting is deleting the version."""
        if self._hides is None:
            self._hides = self.lock_period is None and self.facts().versioned is not False
        return self._hides

    def settle(self, prefix: str) -> None:
        """What a bucket lists is durable."""

    def free_bytes(self) -> int | None:
        return None

    def _prove(self) -> None:
        """The header, put again as it is, must be refused; without one, an object made for this."""
        if self._proven:
            return
        try:
            if not self._kept(HEADER, [self.get(HEADER)]):
                raise _overwrites(self.location)
        except NotFound:
            name = _PROBE + self._entropy(8).hex()
            self._create(name, [b"Does this store keep an object that exists?"])
            kept = self._kept(name, [b"It does not."])
            self._remove_proof(name)
            if not kept:
                raise _overwrites(self.location) from None
        if self.lock_period is not None:
            s3_lock.require_able(self.facts(), self.location)
        self._proven = True

    def _kept(self, name: str, parts: Sequence[Bytes]) -> bool:
        try:
            self._try(OVERWRITING, name, lambda s3: self._put_once(s3, name, parts, self._mark()))
        except AlreadyExists:
            return True
        return False

    def _create(self, name: str, parts: Sequence[Bytes]) -> None:
        mark = self._mark()
        try:
            self._try("write", name, lambda s3: self._put_once(s3, name, parts, mark))
        except AlreadyExists:
            if not self._is_ours(name, parts, mark):
                raise
        if self._locking(name, parts) and not self._lock_seen:
            if self.locked_until(name) is None:
                raise s3_lock.cannot_lock(self.location)
            self._lock_seen = True

    def _locking(self, name: str, parts: Sequence[Bytes]) -> dict[str, Any]:
        """What a put says beside the content."""
        if self.lock_period is None or not s3_lock.is_kept(name, size_of(parts)):
            return {}
        return s3_lock.with_put(s3_lock.ahead(self.lock_period, self._now()))

    def _put_once(self, s3: Any, name: str, parts: Sequence[Bytes], mark: str) -> None:
        checksum = checksum_of(parts)
        answer = s3.put_object(
            **self._at(name),
            Body=Body(parts),
            IfNoneMatch="*",
            ChecksumSHA256=checksum,
            Metadata={_WRITER: mark},
            **self._locking(name, parts),
        )
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise DataLoss(
                f"{name} was stored as something else than was sent.",
                reason="STORE_CORRUPTS",
                hint="Check the S3 server and what is between.",
                metadata={"object": name},
            )

    def _delete(self, name: str, version: str | None = None) -> None:
        exactly = {"VersionId": version} if version else {}
        self._try("delete", name, lambda s3: s3.delete_object(**self._at(name), **exactly))

    def _told(self, call: Callable[[Any], dict[str, Any]]) -> tuple[dict[str, Any], str]:
        """The answer, and why it is not known what it says."""
        try:
            return self._try("describe", "the bucket", call), ""
        except (NotFound, FailedPrecondition, PermissionDenied) as error:
            cause = error.__cause__
            answer = dict(cause.response) if isinstance(cause, ClientError) else {}
            return answer, error.message if isinstance(error, PermissionDenied) else ""

    def _is_ours(self, name: str, parts: Sequence[Bytes], mark: str) -> bool:
        """Whether the name is taken by this very put, whose answer was lost."""
        found = self._head(name)
        ours = found.get("Metadata", {}).get(_WRITER) == mark
        if ours and checksum_of([self.get(name)]) != checksum_of(parts):
            raise DataLoss(
                f"{name} reads back as something else than was sent.",
                reason="STORE_CORRUPTS",
                hint="Check the S3 server and what is between.",
                metadata={"object": name},
            )
        return bool(ours)

    def _mark(self) -> str:
        return self._entropy(16).hex()


def _overwrites(location: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The store at {location} overwrites objects that exist: it ignores If-None-Match.",
        reason="STORE_UNSUITABLE",
        hint="Use an S3 server with conditional writes; without them two writers could destroy each other's"
        " work. `xenkeep repo probe` tells what a store can do.",
    )
