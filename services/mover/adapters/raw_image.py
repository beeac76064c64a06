"""A disk image in a file: raw, sparse, whole or not there."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from services.chassis.errors import DataLoss
from services.mover.repository import Extent
from services.mover.repository.stores.os_errors import translated
from services.mover.repository.stores.past_cache import WORTH_IT, open_past_cache, pwrite_past_cache

_READ_BYTES = 4 << 20


class RawImage:
    """``BlockTarget`` and ``BlockSource`` of the repository engine over one file of ``size_bytes``.

    What is never written is a hole. Large pieces go past the page cache where the file system lets them.
    Errors are named as a store's are: full, refused, not usable.
    """

    def __init__(self, path: Path, size_bytes: int, *, fresh: bool, resumed: bool = False) -> None:
        """``fresh`` empties the file first, ``resumed`` goes on with it; otherwise it is read as it is."""
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if fresh else 0)
        with translated("open", path.name):
            self._descriptor = os.open(path, flags, 0o600)
            if fresh:
                os.ftruncate(self._descriptor, size_bytes)
            self._direct = open_past_cache(path) if fresh or resumed else None

    def __enter__(self) -> "RawImage":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if self._direct is not None:
            os.close(self._direct)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """See ``BlockTarget``."""
        left = memoryview(data).cast("B")
        with translated("write", self._path.name):
            if self._direct is not None and len(left) >= WORTH_IT:
                end = offset + len(left)
                left = pwrite_past_cache(self._direct, left, offset)
                offset = end - len(left)
            while left:
                written = os.pwrite(self._descriptor, left, offset)
                left, offset = left[written:], offset + written

    def sync(self) -> None:
        """Durable, and no longer in memory: what is read next comes from the disk."""
        with translated("write", self._path.name):
            os.fsync(self._descriptor)
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ``BlockSource``."""
        with translated("read", self._path.name):
            while buffer:
                count = os.preadv(self._descriptor, [buffer], offset)
                if not count:
                    raise self._differs(f"it ends at {offset}")
                buffer, offset = buffer[count:], offset + count

    def require_shape(self, size_bytes: int, extents: Iterable[Extent]) -> None:
        """Raises DataLoss unless the file is ``size_bytes`` long and zero outside ``extents`` (ascending)."""
        with translated("read", self._path.name):
            if os.fstat(self._descriptor).st_size != size_bytes:
                raise self._differs(f"it is not {size_bytes} bytes long")
            at = 0
            for extent in extents:
                self._require_zeros(at, extent.offset)
                at = extent.end
            self._require_zeros(at, size_bytes)

    def _require_zeros(self, start: int, end: int) -> None:
        while start < end:
            try:
                start = os.lseek(self._descriptor, start, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # lseek(2): no data from here to the end
                    return
                raise
            hole = os.lseek(self._descriptor, start, os.SEEK_HOLE)
            while start < min(hole, end):
                data = os.pread(self._descriptor, min(_READ_BYTES, hole - start, end - start), start)
                if data.count(0) != len(data) or not data:
                    raise self._differs(f"it has data near {start} where the disk has none")
                start += len(data)

    def _differs(self, how: str) -> DataLoss:
        return DataLoss(
            f"{self._path} is not the disk that was written: {how}.",
            reason="WRITTEN_DISK_DIFFERS",
            hint="Remove the file and start again; test this machine's disk when it happens twice.",
            metadata={"file": self._path.name},
        )
