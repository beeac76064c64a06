"""The reads of one call: fresh ones, and before them those that a lost connection left undone."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.chassis.errors import Unavailable, XenkeepError
from services.mover.domain import BlockRead

_MOST_REFUSALS = 4


@dataclass(slots=True)
class _Trouble:
    """What a read has been through."""

    since: float
    refusals: int = 0


class Redo(Iterator[BlockRead]):
    """Decides how often a read is tried, and how long to pause between tries. For one thread.

    Iterated in phases, each begun with ``ready``. While reads are done again, a phase holds only those, and
    they go out one at a time: a server hangs up after an error, and with more requests on their way to it the
    answer that says which read was at fault may be lost with the connection.
    """

    def __init__(
        self,
        fresh: Iterator[BlockRead],
        *,
        patience: float,
        first_pause: float,
        longest_pause: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._fresh = fresh
        self._again: deque[BlockRead] = deque()
        self._troubled: dict[BlockRead, _Trouble] = {}
        self._careful = False
        self._streak = 0
        self._patience = patience
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._monotonic = monotonic

    def __next__(self) -> BlockRead:
        if self._again:
            return self._again.popleft()
        if self._careful:
            raise StopIteration
        return next(self._fresh)

    def ready(self) -> bool:
        """Whether a read is left, drawing one to know; the next phase begins."""
        self._careful = bool(self._again)
        if not self._again:
            self._again.extend(read for read in [next(self._fresh, None)] if read is not None)
        return bool(self._again)

    def window(self, most: int) -> int:
        """How many reads this phase may have in flight."""
        return 1 if self._careful else most

    def done(self, read: BlockRead) -> None:
        """It succeeded."""
        self._troubled.pop(read, None)
        self._streak = 0

    def lost(self, reads: Sequence[BlockRead], refused: BlockRead | None, error: XenkeepError) -> float:
        """A connection was lost with these reads in flight; they come again. Returns the pause in seconds.

        Raises ``error`` when the disk has ``refused`` this read four times, and ``Unavailable``
        NBD_READ_GIVEN_UP when one has failed for longer than the patience.
        """
        now = self._monotonic()
        for read in reads:
            self._troubled.setdefault(read, _Trouble(since=now))
        if refused is not None:
            self._troubled[refused].refusals += 1
            if self._troubled[refused].refusals >= _MOST_REFUSALS:
                raise error
        oldest = min((self._troubled[read].since for read in reads), default=now)
        if now - oldest > self._patience:
            raise Unavailable(
                f"The disk could not be read for {now - oldest:.0f} s; at last: {error.message}",
                reason="NBD_READ_GIVEN_UP",
                hint=error.hint,
            ) from error
        self._again.extendleft(reversed(reads))
        self._streak += 1
        if self._streak == 1:
            return 0.0
        return min(self._longest_pause, self._first_pause * float(1 << min(self._streak - 2, 16)))
