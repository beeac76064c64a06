"""Takes transfers up, sees them through, and says how each ended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from services.chassis.clock import Clock
from services.chassis.errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, Cancellations
from services.mover.domain.capture import Failure
from services.mover.domain.facts import (
    TransferCancelled,
    TransferFailed,
    TransferFinished,
    TransferProgressed,
    TransferStarted,
)
from services.mover.domain.outcome import Outcome
from services.mover.domain.transfer import Progress, Spec, Transfer
from services.mover.ports.books import Books

PROGRESS_SECONDS = 1.0
RETRYABLE = (Unavailable, DeadlineExceeded, Aborted, ResourceExhausted)

Runner = Callable[[Transfer, Any, Board, Cancellation], Awaitable[Outcome]]
"""Does one kind of transfer: ``runner(transfer, spec, board, cancellation)``. May be asked to do the same
transfer again after this process, or another mover, died in it: it goes on or finds that it is done."""

Defect = Callable[[Exception], None]
"""Told of exceptions that are no XenkeepError: defects of ours."""


class Worker:
    """``runners`` maps a kind of spec to who does it."""

    def __init__(
        self,
        books: Books,
        runners: Mapping[type[Spec], Runner],
        cancellations: Cancellations,
        clock: Clock,
        defect: Defect,
    ) -> None:
        self._books = books
        self._runners = runners
        self._cancellations = cancellations
        self._clock = clock
        self._defect = defect

    async def handle(self, transfer_id: str, spec: Spec) -> None:
        """See a transfer through. Returns when its end is recorded; raises only when it is given back."""
        transfer = await self._take_up(transfer_id, spec)
        if transfer is None:
            return
        cancellation = self._cancellations.begin(transfer_id)
        board = Board()
        try:
            async with self._publishing(transfer_id, board):
                outcome = await self._runners[type(spec)](transfer, spec, board, cancellation)
        except asyncio.CancelledError:
            cancellation.request()  # this process stops: its threads stop too, another mover goes on
            raise
        except XenkeepError as error:
            await self._failed(transfer_id, error, wanted=cancellation.wanted)
        except Exception as error:  # noqa: BLE001 - the boundary: a defect ends the transfer, not the mover
            self._defect(error)
            await self._failed(transfer_id, _defect_error(error), wanted=cancellation.wanted)
        else:
            await self._succeeded(transfer_id, outcome, board.progress())
        finally:
            self._cancellations.end(transfer_id)

    async def _take_up(self, transfer_id: str, spec: Spec) -> Transfer | None:
        now = self._clock.now()
        async with self._books.writing() as work:
            transfer = await work.transfers.get(transfer_id) or Transfer(transfer_id, spec, now)
            if transfer.ended:
                return None
            if await work.transfers.is_refused(transfer_id):
                await work.transfers.put(transfer.cancelled(now))
                await work.tell(TransferCancelled(transfer_id))
                return None
            transfer = transfer.taken_up(now)
            await work.transfers.put(transfer)
            await work.tell(TransferStarted(transfer_id, transfer.attempt))
            return transfer

    async def _succeeded(self, transfer_id: str, outcome: Outcome, progress: Progress) -> None:
        async with self._books.writing() as work:
            transfer = await work.transfers.get(transfer_id)
            if transfer is None or transfer.ended:
                return
            done = transfer.moved_on(progress).succeeded(outcome.result, self._clock.now())
            await work.transfers.put(done)
            for fact in outcome.facts:
                await work.tell(fact)
            assert done.result is not None
            await work.tell(TransferFinished(transfer_id, done.result))

    async def _failed(self, transfer_id: str, error: XenkeepError, *, wanted: bool) -> None:
        async with self._books.writing() as work:
            transfer = await work.transfers.get(transfer_id)
            if transfer is None or transfer.ended:
                return
            if wanted or isinstance(error, Cancelled):
                await work.transfers.put(transfer.cancelled(self._clock.now()))
                await work.tell(TransferCancelled(transfer_id))
                return
            failure = Failure(error.kind, error.reason, error.message, error.hint)
            await work.transfers.put(transfer.failed(failure, self._clock.now()))
            await work.tell(TransferFailed(transfer_id, failure, isinstance(error, RETRYABLE)))

    @asynccontextmanager
    async def _publishing(self, transfer_id: str, board: Board) -> AsyncIterator[None]:
        task = asyncio.create_task(self._publish(transfer_id, board))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _publish(self, transfer_id: str, board: Board) -> None:
        last = Progress()
        while True:
            await self._clock.sleep(PROGRESS_SECONDS)
            progress = board.progress()
            if progress == last:
                continue
            last = progress
            async with self._books.writing() as work:
                transfer = await work.transfers.get(transfer_id)
                if transfer is None or transfer.ended:
                    return
                await work.transfers.put(transfer.moved_on(progress))
                await work.tell(TransferProgressed(transfer_id, progress))


def _defect_error(error: Exception) -> Internal:
    return Internal(
        f"The mover met a defect of its own: {type(error).__name__}.",
        reason="MOVER_DEFECT",
        hint="Its log says more; please report it.",
    )
