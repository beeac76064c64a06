"""What a bucket with versions keeps out of sight.

A deletion that names no version puts a delete marker above the object
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html). It is all that somebody with stolen
credentials can do to an object that is locked.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from services.chassis.errors import NotFound, Unavailable
from services.mover.repository.store import HiddenObject
from services.mover.repository.stores import s3_lock
from services.mover.repository.stores.s3_requests import S3Requests

_NEXT: Final = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}


class S3Hidden(S3Requests):
    """See ``HidingStore``, but for ``hides``. A bucket without versions hides nothing."""

    def hidden(self, prefix: str) -> Iterator[HiddenObject]:
        since: dict[str, datetime] = {}
        kept: set[str] = set()
        for page in self._versions(prefix):
            markers = page.get("DeleteMarkers", ())
            since |= {each["Key"]: each["LastModified"] for each in markers if each["IsLatest"]}
            kept.update(each["Key"] for each in page.get("Versions", ()))
            last = page.get("NextKeyMarker") if page.get("IsTruncated") else None  # it may go on on the next
            for key in sorted(key for key in since.keys() & kept if key != last):
                yield HiddenObject(key.removeprefix(self._place.prefix), since[key].astimezone(UTC))
            since = {key: at for key, at in since.items() if key == last}
            kept = {key for key in kept if key == last}

    def uncover(self, name: str) -> None:
        key = self._at(name)["Key"]
        pages = list(self._versions(name))
        if not any(each["Key"] == key for page in pages for each in page.get("Versions", ())):
            raise _has_no_version(name)
        for marker in (
            each for page in pages for each in page.get("DeleteMarkers", ()) if each["Key"] == key
        ):
            self._try("uncover", name, partial(_delete, self._at(name) | {"VersionId": marker["VersionId"]}))

    def hidden_lock(self, name: str) -> datetime | None:
        key = self._at(name)["Key"]
        versions = [
            each for page in self._versions(name) for each in page.get("Versions", ()) if each["Key"] == key
        ]
        if not versions:
            raise _has_no_version(name)
        newest = max(versions, key=lambda each: each["LastModified"])  # the first of those of one second
        asked = self._at(name) | {"VersionId": newest["VersionId"]}
        return s3_lock.until_of(self._try("find", name, partial(_head, asked)), self._now())

    def _versions(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Pages of versions and delete markers of all keys that begin so, in the order of keys."""
        asked = {"Bucket": self._place.bucket, "Prefix": self._place.prefix + prefix}
        while True:
            page: dict[str, Any] = self._try("list", prefix or "all", partial(_list_versions, asked))
            yield page
            if not page.get("IsTruncated"):
                return
            after = {ours: str(page[theirs]) for ours, theirs in _NEXT.items() if page.get(theirs)}
            if not after or after.items() <= asked.items():
                raise Unavailable(
                    f"The store's list of the versions of {prefix or 'all'} does not end.",
                    reason="STORE_LIST_ENDLESS",
                    hint="Check the S3 server.",
                )
            asked.update(after)


def _delete(what: dict[str, str], s3: Any) -> None:
    s3.delete_object(**what)


def _list_versions(asked: dict[str, str], s3: Any) -> dict[str, Any]:
    return dict(s3.list_object_versions(**asked))


def _head(asked: dict[str, str], s3: Any) -> dict[str, Any]:
    return dict(s3.head_object(**asked))


def _has_no_version(name: str) -> NotFound:
    return NotFound(f"{name} has no version.", reason="OBJECT_MISSING", metadata={"object": name})
