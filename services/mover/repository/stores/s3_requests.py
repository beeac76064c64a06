"""Requests to a bucket: repeated while that may help, with the credentials as they are now."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from services.chassis.errors import Unavailable
from services.mover.repository.stores.s3_errors import translate
from services.mover.repository.stores.s3_place import S3Place, connect
from services.mover.repository.types import Entropy

_T = TypeVar("_T")
_ATTEMPTS = 6
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class S3Requests:
    """What a store in S3 is made of. Safe from any thread."""

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

    def _keys(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """Name, size, time of all keys, a thousand at a time."""
        root = self._place.prefix
        asked: dict[str, str] = {"Bucket": self._place.bucket, "Prefix": root + prefix}
        while True:
            page, found = self._try("list", prefix or "all", lambda s3: _listed(s3.list_objects_v2(**asked)))
            for key, size, changed in found:
                if key.startswith(root + prefix):
                    yield key.removeprefix(root), size, changed
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
                told = translate(error, doing, name, self._now(), self._place.url)
                if not isinstance(told, Unavailable) or attempt == _ATTEMPTS:
                    raise told from error
            except Unavailable as error:
                told = error
                if attempt == _ATTEMPTS:
                    raise
            except (LookupError, RuntimeError, ValueError) as error:  # what botocore makes of nonsense
                told = self._garbled(doing, name, error)
                if attempt == _ATTEMPTS:
                    raise told from error
            self._notice("STORE_RETRIED", f"{told.message} It is tried again in {pause:.1f} s.")
            self._pause(pause * (0.5 + self._entropy(1)[0] / 512))
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("unreachable")

    def _garbled(self, doing: str, name: str, error: Exception) -> Unavailable:
        return Unavailable(
            f"The store at {self._place.url} cannot {doing} {name}: its answer makes no sense"
            f" ({type(error).__name__}).",
            reason="STORE_GARBLED",
            hint="Check the S3 server and what is between; the same request may be repeated.",
            metadata={"object": name},
        )

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


def _listed(page: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, int, datetime]]]:
    """The page, and key, size and time of what it shows; raises LookupError, ValueError for nonsense."""
    return page, [(e["Key"], int(e["Size"]), e["LastModified"]) for e in page.get("Contents", ())]


def _log(code: str, message: str) -> None:
    logging.getLogger(__name__).warning("%s: %s", code, message)
