"""Takes transfers up, sees them through, and says how each ended."""

import asyncio
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
from services.mover.app.backup import TAKEN_OVER
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.domain.capture import Failure
from services.mover.domain.facts import (
    TransferCancelled,
    TransferFailed,
    TransferFinished,
    TransferProgressed,
    TransferStarted,
)
from services.mover.domain.outcome import Outcome
from services.mover.domain.transfer import Progress, Spec, State, Transfer
from services.mover.ports.books import Books

PROGRESS_SECONDS = 1.0
RETRYABLE = (Unavailable, DeadlineExceeded, Aborted, ResourceExhausted)
PASSING = (Unavailable, ResourceExhausted)

Runner = Callable[[Transfer, Any, Board, Cancellation], Awaitable[Outcome]]
"""Does one kind of transfer: ``runner(transfer, spec, board, cancellation)``. May be asked to do the same
transfer again after this process, or another mover, died in it: it goes on or finds that it is done."""

Defect = Callable[[Exception], None]
"""Told of exceptions that are no XenkeepError: defects of ours."""


class Worker:
    """``runners`` maps a kind of spec to who does it."""

    def __init__(
        self, books: Books, runners: Mapping[type[Spec], Runner], clock: Clock, defect: Defect
    ) -> None:
        self._books = books
        self._runners = runners
        self._clock = clock
        self._defect = defect

    async def handle(self, transfer_id: str, spec: Spec) -> None:
        """See a transfer through. Returns when its end is recorded.

        Raises only when it is given back for another attempt: the books cannot be written, or, Aborted
        TRANSFER_TAKEN_OVER, another mover goes on with it. Cancelled, because this process stops, it returns
        when nothing of the transfer runs here any more.
        """
        transfer = await self._take_up(transfer_id, spec)
        if transfer is None:
            return
        cancellation = Cancellation()
        if transfer.cancel_requested:
            cancellation.request()
        board = Board(transfer.progress)
        try:
            async with self._watching(transfer_id, board, cancellation):
                outcome = await self._runners[type(spec)](transfer, spec, board, cancellation)
        except XenkeepError as error:
            if error.reason == TAKEN_OVER:
                raise
            await self._failed(transfer_id, error, board, wanted=cancellation.wanted)
        except Exception as error:  # noqa: BLE001 - the boundary: a defect ends the transfer, not the mover
            self._defect(error)
            await self._failed(transfer_id, _defect_error(error), board, wanted=cancellation.wanted)
        else:
            await self._succeeded(transfer_id, outcome, board)

    async def refuse(self, transfer_id: str, error: XenkeepError) -> None:
        """Answer for a transfer whose spec cannot be read."""
        async with self._books.writing() as work:
            await work.tell(TransferFailed(transfer_id, _failure(error), isinstance(error, RETRYABLE)))

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

    async def _succeeded(self, transfer_id: str, outcome: Outcome, board: Board) -> None:
        async with self._books.writing() as work:
            transfer = await work.transfers.get(transfer_id)
            if transfer is None or transfer.state == State.SUCCEEDED:
                return
            if transfer.ended:  # another mover gave it up; what came about is true all the same
                for fact in outcome.facts:
                    await work.tell(fact)
                return
            done = transfer.moved_on(board.progress()).succeeded(outcome.result, self._clock.now())
            await work.transfers.put(done)
            for fact in (*board.facts, *outcome.facts):
                await work.tell(fact)
            assert done.result is not None
            await work.tell(TransferFinished(transfer_id, done.result))

    async def _failed(self, transfer_id: str, error: XenkeepError, board: Board, *, wanted: bool) -> None:
        async with self._books.writing() as work:
            transfer = await work.transfers.get(transfer_id)
            if transfer is None or transfer.ended:
                return
            transfer = transfer.moved_on(board.progress())
            for fact in board.facts:
                await work.tell(fact)
            if wanted or isinstance(error, Cancelled):
                await work.transfers.put(transfer.cancelled(self._clock.now()))
                await work.tell(TransferCancelled(transfer_id))
                return
            failure = _failure(error)
            await work.transfers.put(transfer.failed(failure, self._clock.now()))
            retryable = isinstance(error, RETRYABLE)
            await work.tell(TransferFailed(transfer_id, failure, retryable, board.all_remarks()))

    @asynccontextmanager
    async def _watching(
        self, transfer_id: str, board: Board, cancellation: Cancellation
    ) -> AsyncIterator[None]:
        """While the transfer runs its progress is told and its cancellation listened for. That this fails is
        never the transfer's failure.
        """
        task = asyncio.create_task(self._watch(transfer_id, board, cancellation))
        try:
            yield
        finally:
            task.cancel()
            for ended in await asyncio.gather(task, return_exceptions=True):
                if isinstance(ended, Exception):
                    self._defect(ended)

    async def _watch(self, transfer_id: str, board: Board, cancellation: Cancellation) -> None:
        last = Progress()
        while True:
            await self._clock.sleep(PROGRESS_SECONDS)
            try:
                last = await self._tick(transfer_id, board.progress(), last, cancellation)
            except PASSING:
                continue  # the next tick tells what this one could not

    async def _tick(
        self, transfer_id: str, progress: Progress, last: Progress, cancellation: Cancellation
    ) -> Progress:
        """What was told last. Nothing is written when nothing moved."""
        async with self._books.reading() as look:
            transfer = await look.transfers.get(transfer_id)
        if transfer is not None and transfer.cancel_requested and not cancellation.wanted:
            await asyncio.to_thread(cancellation.request)
        if progress == last:
            return last
        async with self._books.writing() as work:
            transfer = await work.transfers.get(transfer_id)
            if transfer is not None and not transfer.ended:
                await work.transfers.put(transfer.moved_on(progress))
                await work.tell(TransferProgressed(transfer_id, progress))
        return progress


def _failure(error: XenkeepError) -> Failure:
    return Failure(error.kind, error.reason, error.message, error.hint)


def _defect_error(error: Exception) -> Internal:
    return Internal(
        f"The mover met a defect of its own: {type(error).__name__}.",
        reason="MOVER_DEFECT",
        hint="Its log says more; please report it.",
    )
