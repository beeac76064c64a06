"""A disk written over HTTPS, as framed raw data: {offset u64, length u32, data} little-endian, then 12 zero
bytes.

Source: xapi ``/import_raw_vdi?format=raw&chunked`` (ocaml/vhd-tool: src/chunked.ml); recordings show that
frames of whole pages are written, and that the length to announce is that of the frames with their heads.
"""

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from services.chassis.errors import Cancelled, FailedPrecondition, InvalidInput, XenkeepError
from services.mover.adapters.http_opener import HttpOpener, HttpTargetOptions, Refresh
from services.mover.adapters.http_put import HttpPut
from services.mover.adapters.write_endpoint import WriteEndpoint
from services.mover.domain import Extent, Notice
from services.mover.frame_plan import PAGE_BYTES, FramePlan
from services.mover.notice_book import NoticeBook
from services.mover.ports import Data

_frame_head = struct.Struct("<QI")
_END = bytes(_frame_head.size)


class HttpDiskTarget:
    """``BlockTarget`` over HTTPS; one PUT a pass.

    Endpoints are asked for again before every pass but the first, and when none takes the disk. A redirect is
    followed only to another of the endpoints, whose own URL and certificate are used then. Nothing is kept on
    disk: a mover that is killed leaves a disk half written, which its owner removes or lets be written again.
    """

    def __init__(
        self,
        size_bytes: int,
        endpoints: Sequence[WriteEndpoint],
        refresh: Refresh,
        options: HttpTargetOptions | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        options = options or HttpTargetOptions()
        if options.frame_bytes <= 0 or options.frame_bytes % PAGE_BYTES:
            raise InvalidInput(
                f"Frames of {options.frame_bytes} bytes cannot be written.",
                reason="FRAME_BYTES_INVALID",
                hint=f"They are multiples of {PAGE_BYTES} bytes.",
            )
        self._size_bytes = size_bytes
        self._frame_bytes = options.frame_bytes
        self._notices = NoticeBook()
        self._opener = HttpOpener(endpoints, refresh, options, self._notices, monotonic)
        self._lock = threading.Lock()
        self._passes = 0
        self._aborted = False
        self._plan: FramePlan | None = None
        self._put: HttpPut | None = None
        self._broken: XenkeepError | None = None

    @property
    def size_bytes(self) -> int:
        """The size of the disk."""
        return self._size_bytes

    @property
    def frame_bytes(self) -> int:
        """See ``BlockTarget``."""
        return self._frame_bytes

    def notices(self) -> tuple[Notice, ...]:
        """See ``BlockTarget``."""
        return self._notices.all()

    def begin(self, extents: Sequence[Extent]) -> None:
        """See ``BlockTarget``. ``Unavailable`` when no host takes the disk within the patience."""
        plan = FramePlan(extents, self._frame_bytes, self._size_bytes)
        with self._lock:
            self._leave()
        if self._passes:
            self._opener.forget()
            self._notices.add("DISK_PASS_AGAIN", "Another pass over the disk was begun.")
        self._passes += 1
        put = self._opener.open(plan.data_bytes + _frame_head.size * (plan.frames + 1))
        with self._lock:
            self._plan, self._put, self._broken = plan, put, None
        if self._aborted:
            self.abort()

    def write(self, offset: int, data: Data) -> None:
        """See ``BlockTarget``."""
        view = memoryview(data).cast("B")
        with self._lock, self._pass() as (plan, put):
            for frame in plan.take(Extent(offset, len(view))):
                at = frame.offset - offset
                put.write(_frame_head.pack(*frame), view[at : at + frame.length])

    def finish(self) -> None:
        """See ``BlockTarget``. The disk's owner has the last word: it knows whether its host took all."""
        with self._lock, self._pass() as (plan, put):
            plan.must_be_complete()
            put.write(_END)
            if not put.finish():
                self._notices.add("HTTP_END_UNANNOUNCED", "The host hung up without closing TLS at the end.")
            self._leave()

    def abort(self) -> None:
        """See ``BlockTarget``."""
        self._opener.cancel()
        self._aborted = True
        if (put := self._put) is not None:
            put.interrupt()
        with self._lock:
            self._leave()

    @contextlib.contextmanager
    def _pass(self) -> Iterator[tuple[FramePlan, HttpPut]]:
        if self._aborted:
            raise _called_off()
        if self._broken is not None:
            raise self._broken
        if self._plan is None or self._put is None:
            raise FailedPrecondition(
                "No pass over the disk has begun.", reason="PASS_NOT_BEGUN", hint="Begin one first."
            )
        try:
            yield self._plan, self._put
        except InvalidInput:
            raise
        except XenkeepError as error:
            self._leave()
            if self._aborted:
                raise _called_off() from error
            self._broken = error
            self._notices.add(error.reason, error.message)
            raise

    def _leave(self) -> None:
        if self._put is not None:
            self._put.close()
        self._put = self._plan = None


def _called_off() -> Cancelled:
    return Cancelled("Writing the disk was called off.", reason="TARGET_ABORTED")
