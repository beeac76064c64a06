"""Sending packs to the target, and listing them in its index."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Final

from services.chassis.errors import AlreadyExists, DataLoss, NotFound
from services.mover.repository.context import Context
from services.mover.repository.copying.needs import Load
from services.mover.repository.copying.report import CopyReport
from services.mover.repository.format.damaged import damaged
from services.mover.repository.index import PackInfo
from services.mover.repository.indexing import index_packs, records_of
from services.mover.repository.packreader import check_hash
from services.mover.repository.parallel import for_each
from services.mover.repository.ports import nobody
from services.mover.repository.store import StoredObject, borrowed

SMALL_BYTES: Final = 1 << 20
"""Packs up to this size take the time of a question, and hardly any memory."""
SMALL_AT_ONCE: Final = 8
"""Small packs, and questions, that are under way for each large pack."""
_INDEXED_TOGETHER: Final = 64
"""Packs a segment lists: about 2 GiB are found again by asking for each when a copy was killed."""


class Refused(Exception):
    """A pack cannot be sent, for a reason that asking again does not change."""

    def __init__(self, pack: PackInfo, why: str) -> None:
        super().__init__(why)
        self.pack, self.why = pack, why


class Shipper:
    """Packs go by name: one that is there is not sent again. Safe from any thread."""

    def __init__(
        self, source: Context, target: Context, report: CopyReport, streams: int, check: Callable[[], None]
    ) -> None:
        """``check`` is called before each pack; what it raises ends the copy."""
        self._source, self._target = source, target
        self._report, self._check = report, check
        self._at_once = streams * SMALL_AT_ONCE
        self._large = threading.Semaphore(streams)
        self._lock = threading.Lock()
        self._counted: set[bytes] = set()
        self._unlisted: dict[bytes, PackInfo] = {}

    def ship(self, load: Load, moved: Callable[[], None]) -> None:
        """Send what is missing of a load and list it. ``moved`` is told of every pack.

        Raises Refused, and what the target raises; what was sent by then is found the next time. The
        largest are sent first: while the last of them are stored, small ones are sent.
        """
        self._unlisted.clear()
        failed = threading.Event()

        def send(pack: PackInfo) -> None:
            with _noted(failed):
                self._check()
                if self._send(pack, failed):
                    moved()
                    self._list(self._taken(_INDEXED_TOGETHER))

        packs = sorted(load.packs.values(), key=lambda pack: (-pack.size, pack.sha256))
        for_each(packs, send, self._at_once)
        self._list(self._taken(1))

    def _send(self, pack: PackInfo, failed: threading.Event) -> bool:
        """False when it is not there because another one could not be sent."""
        if self._is_there(pack):
            self._target.store.settle(pack.name)  # whoever sent it may have died before it was durable
            self._sent(pack, found=True)
            return True
        with nullcontext() if _is_small(pack) else self._large, _noted(failed):
            if failed.is_set():
                return False
            self._check()  # it may have waited for long
            self._put(pack)
        self._sent(pack, found=False)
        return True

    def _put(self, pack: PackInfo) -> None:
        with self._read(pack) as data:
            try:
                self._target.store.put(pack.name, [data])
            except AlreadyExists:
                if not self._is_there(pack):
                    raise

    def _is_there(self, pack: PackInfo) -> bool:
        try:
            size = self._target.store.size(pack.name)
        except NotFound:
            return False
        if size != pack.size:
            raise Refused(
                pack, f"{pack.name} is damaged at {self._target.store.location}: it has {size} bytes."
            )
        return True

    @contextmanager
    def _read(self, pack: PackInfo) -> Iterator[memoryview]:
        """All of a pack, as it is named; gone when the block is left."""
        with ExitStack() as reading:
            try:
                data = reading.enter_context(borrowed(self._source.store, StoredObject(pack.name, pack.size)))
                check_hash(pack.name, data)
                if len(data) != pack.size:
                    raise damaged(pack.name, "it has not the size the index says")
            except DataLoss as error:
                self._source.quarantine(error)
                raise Refused(pack, error.message) from error
            except NotFound as error:
                raise Refused(pack, f"{pack.name} is gone.") from error
            yield data

    def _taken(self, least: int) -> list[PackInfo]:
        """Packs that are there and in no segment yet, if there are so many: whoever takes them lists them."""
        with self._lock:
            if len(self._unlisted) < least:
                return []
            taken, self._unlisted = self._unlisted, {}
            return list(taken.values())

    def _list(self, packs: Sequence[PackInfo]) -> None:
        """A pack may be in the index by now, listed by somebody else: twice does no harm."""
        if not packs:
            return
        wanted = {pack.sha256: pack.kind for pack in packs}
        records = {record.sha256: record for record in records_of(self._source, wanted)}
        for pack in packs:
            if pack.sha256 not in records:
                raise Refused(pack, f"{pack.name} has no directory that can be read.")
        index_packs(self._target, [records[pack.sha256] for pack in packs], nobody)

    def _sent(self, pack: PackInfo, *, found: bool) -> None:
        with self._lock:
            self._unlisted[pack.sha256] = pack
            if pack.sha256 in self._counted:
                return
            self._counted.add(pack.sha256)
            if found:
                self._report.found_packs += 1
                self._report.found_bytes += pack.size
            else:
                self._report.copied_packs += 1
                self._report.copied_bytes += pack.size


@contextmanager
def _noted(failed: threading.Event) -> Iterator[None]:
    """Whoever waits for a turn hears of a failure before the turn is free."""
    try:
        yield
    except BaseException:
        failed.set()
        raise


def _is_small(pack: PackInfo) -> bool:
    return pack.size <= SMALL_BYTES
