import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from services.chassis.bell import Bell
from services.chassis.clock import FakeClock
from services.chassis.errors import Aborted, Cancelled, DataLoss, ResourceExhausted, Unavailable, XenkeepError
from services.chassis.ids import SequentialIds
from services.mover.adapters.memory_books import MemoryBooks
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.transfers import Transfers
from services.mover.app.worker import Worker
from services.mover.domain.capture import Failure, Remark
from services.mover.domain.facts import (
    DamageFound,
    TransferCancelled,
    TransferFailed,
    TransferFinished,
    TransferProgressed,
    TransferRequested,
    TransferStarted,
)
from services.mover.domain.outcome import Outcome
from services.mover.domain.repository import Registration
from services.mover.domain.transfer import Progress, Result, State, Transfer, Verify
from services.mover.ports.books import SealedSecret

SPEC = Verify("repository-1", full=True)
Body = Callable[[Board, Cancellation], Awaitable[Outcome]]


async def succeed(_board: Board, _cancel: Cancellation) -> Outcome:
    return Outcome(Result(checked_objects=3))


@dataclass
class Desk:
    """A worker whose one runner does ``body``."""

    body: Body = succeed
    books: MemoryBooks = field(default_factory=MemoryBooks)
    clock: FakeClock = field(default_factory=FakeClock)
    defects: list[Exception] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.worker = Worker(self.books, {Verify: self._run}, self.clock, self.defects.append)
        self.transfers = Transfers(self.books, Bell(), self.clock, SequentialIds())

    async def _run(self, transfer: Transfer, spec: Verify, board: Board, cancel: Cancellation) -> Outcome:
        self.attempts.append(transfer.attempt)
        return await self.body(board, cancel)

    async def handle(self) -> None:
        await self.worker.handle("t-1", SPEC)

    async def transfer(self) -> Transfer:
        return await self.transfers.get("t-1")


async def test_a_transfer_is_taken_up_seen_through_and_told() -> None:
    desk = Desk()
    await desk.handle()
    transfer = await desk.transfer()
    assert (State.SUCCEEDED, 1, 3) == (
        transfer.state,
        transfer.attempt,
        transfer.result and transfer.result.checked_objects,
    )
    assert transfer.result is not None
    assert (TransferStarted("t-1", 1), TransferFinished("t-1", transfer.result)) == desk.books.facts


async def test_one_that_has_ended_is_not_done_again() -> None:
    desk = Desk()
    await desk.handle()
    await desk.handle()
    assert [1] == desk.attempts


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (Unavailable("Away.", reason="AWAY", hint="Wait."), True),
        (ResourceExhausted("Full.", reason="STORE_FULL"), True),
        (DataLoss("Lost.", reason="LOST"), False),
    ],
)
async def test_a_failure_is_recorded_with_its_way_out(error: XenkeepError, retryable: bool) -> None:
    async def fail(board: Board, _cancel: Cancellation) -> Outcome:
        board.learned(DamageFound("r", "main", ()))
        raise error

    desk = Desk(fail)
    await desk.handle()
    failure = Failure(error.kind, error.reason, error.message, error.hint)
    assert (State.FAILED, failure) == ((await desk.transfer()).state, (await desk.transfer()).failure)
    assert (DamageFound("r", "main", ()), TransferFailed("t-1", failure, retryable)) == desk.books.facts[1:]


async def test_a_failure_here_does_not_undo_what_another_mover_brought_to_its_end() -> None:
    async def overtaken(_board: Board, _cancel: Cancellation) -> Outcome:
        async with desk.books.writing() as work:
            ended = await work.transfers.get("t-1")
            assert ended is not None
            await work.transfers.put(ended.succeeded(Result(), desk.clock.now()))
        raise DataLoss("A pack is damaged.", reason="PACK_DAMAGED")

    desk = Desk(overtaken)
    await desk.handle()
    assert State.SUCCEEDED == (await desk.transfer()).state
    assert not any(isinstance(fact, TransferFailed) for fact in desk.books.facts)


async def test_a_failure_tells_what_was_remarked_before_it_each_once() -> None:
    lost = Remark("NBD_CONNECTION_LOST", "host-1 hung up.")
    again = Remark("STORE_REWRITE", "It is written again.")

    async def fail(board: Board, _cancel: Cancellation) -> Outcome:
        board.hear(lambda: [again])
        own: list[Remark] = []
        board.keep(own)
        own += [lost, lost]
        raise Unavailable("Away.", reason="AWAY")

    desk = Desk(fail)
    await desk.handle()
    fact = desk.books.facts[-1]
    assert isinstance(fact, TransferFailed)
    assert (lost, again) == fact.notices


async def test_a_defect_ends_the_transfer_without_telling_its_inside() -> None:
    async def stumble(_board: Board, _cancel: Cancellation) -> Outcome:
        raise KeyError("a secret")

    desk = Desk(stumble)
    await desk.handle()
    failure = (await desk.transfer()).failure
    assert failure is not None
    assert ("Internal", "MOVER_DEFECT") == (failure.kind, failure.reason)
    assert "a secret" not in failure.message + failure.hint
    assert 1 == len(desk.defects)


async def test_taken_over_by_another_mover_nothing_is_recorded() -> None:
    async def lose(_board: Board, _cancel: Cancellation) -> Outcome:
        raise Aborted("Another mover has it.", reason="TRANSFER_TAKEN_OVER")

    desk = Desk(lose)
    with pytest.raises(Aborted):
        await desk.handle()
    assert State.RUNNING == (await desk.transfer()).state
    assert (TransferStarted("t-1", 1),) == desk.books.facts


async def test_progress_is_told_once_a_second_and_only_when_something_moved() -> None:
    going_on = asyncio.Event()

    async def move(board: Board, _cancel: Cancellation) -> Outcome:
        board.moved("disk", total=10, read=4)
        await going_on.wait()
        return Outcome(Result())

    desk = Desk(move)
    running = asyncio.create_task(desk.handle())
    for _ in range(3):
        await desk.clock.until_sleeping()
        await desk.clock.advance(1)
    going_on.set()
    await running
    moved = Progress(total_bytes=10, done_bytes=4, read_bytes=4)
    told = [fact for fact in desk.books.facts if isinstance(fact, TransferProgressed)]
    assert [TransferProgressed("t-1", moved)] == told
    assert moved == (await desk.transfer()).progress


async def test_books_that_cannot_be_written_for_a_while_do_not_fail_the_transfer() -> None:
    going_on = asyncio.Event()

    async def move(board: Board, _cancel: Cancellation) -> Outcome:
        board.moved("disk", total=10, read=4)
        await going_on.wait()
        return Outcome(Result())

    desk = Desk(move)
    running = asyncio.create_task(desk.handle())
    await desk.clock.until_sleeping()
    desk.books.fail = Unavailable("Busy.", reason="DATABASE_BUSY")
    await desk.clock.advance(1)
    await desk.clock.until_sleeping()
    await desk.clock.advance(1)
    going_on.set()
    await running
    assert State.SUCCEEDED == (await desk.transfer()).state
    assert 1 == len([fact for fact in desk.books.facts if isinstance(fact, TransferProgressed)])
    assert [] == desk.defects


async def test_when_the_end_cannot_be_recorded_the_work_is_given_back_and_done_again() -> None:
    desk = Desk()

    async def fail_the_commit(_board: Board, _cancel: Cancellation) -> Outcome:
        desk.books.fail = Unavailable("Busy.", reason="DATABASE_BUSY")
        desk.body = succeed
        return Outcome(Result())

    desk.body = fail_the_commit
    with pytest.raises(Unavailable):
        await desk.handle()
    await desk.handle()
    assert [1, 2] == desk.attempts
    assert State.SUCCEEDED == (await desk.transfer()).state


async def until_cancelled(_board: Board, cancel: Cancellation) -> Outcome:
    await asyncio.to_thread(cancel.event.wait, 30)
    raise Unavailable("Interrupted.", reason="INTERRUPTED")


async def test_cancelling_stops_what_runs_and_whatever_it_ends_with_it_is_cancelled() -> None:
    desk = Desk(until_cancelled)
    running = asyncio.create_task(desk.handle())
    await desk.clock.until_sleeping()
    asked = await desk.transfers.cancel("t-1")
    assert (State.RUNNING, True) == (asked.state, asked.cancel_requested)
    await desk.clock.advance(1)
    await running
    assert State.CANCELLED == (await desk.transfer()).state
    assert TransferCancelled("t-1") == desk.books.facts[-1]


async def test_cancelled_while_its_mover_was_dead_the_next_one_only_cleans_up() -> None:
    seen: list[bool] = []

    async def look(_board: Board, cancel: Cancellation) -> Outcome:
        seen.append(cancel.wanted)
        cancel.check()
        raise AssertionError

    desk = Desk(look)
    async with desk.books.writing() as work:
        await work.transfers.put(Transfer("t-1", SPEC, desk.clock.now()).taken_up(desk.clock.now()))
        await desk.transfers.cancel_in(work, "t-1")
    await desk.handle()
    assert [True] == seen
    assert State.CANCELLED == (await desk.transfer()).state


async def test_a_transfer_refused_before_it_is_met_never_starts() -> None:
    desk = Desk()
    async with desk.books.writing() as work:
        await desk.transfers.cancel_in(work, "t-1")
    assert [] == list(desk.books.facts)
    await desk.handle()
    assert [] == desk.attempts
    assert [TransferCancelled("t-1")] == list(desk.books.facts)


async def test_one_that_waits_in_the_queue_is_cancelled_at_once() -> None:
    desk = Desk()
    registration = Registration("repository-1", "main", "file:///x", desk.clock.now())
    async with desk.books.writing() as work:
        await work.repositories.put(registration, SealedSecret(b""))
    transfer = await desk.transfers.verify("main", full=True)
    assert State.CANCELLED == (await desk.transfers.cancel(transfer.transfer_id)).state
    await desk.worker.handle(transfer.transfer_id, SPEC)
    assert [] == desk.attempts
    told = (TransferRequested(transfer.transfer_id, SPEC), TransferCancelled(transfer.transfer_id))
    assert told == desk.books.facts


async def test_a_transfer_that_cannot_be_read_is_answered() -> None:
    desk = Desk()
    await desk.worker.refuse("t-1", Cancelled("No.", reason="NO"))
    (fact,) = desk.books.facts
    assert isinstance(fact, TransferFailed)


async def test_when_the_process_stops_the_transfer_stays_for_the_next_mover() -> None:
    desk = Desk(until_cancelled)

    async def wait(_board: Board, _cancel: Cancellation) -> Outcome:
        return await asyncio.Future()

    desk.body = wait
    running = asyncio.create_task(desk.handle())
    await desk.clock.until_sleeping()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert State.RUNNING == (await desk.transfer()).state
    desk.body = succeed
    await desk.handle()
    assert [1, 2] == desk.attempts


async def test_a_point_made_by_a_mover_whose_transfer_was_given_up_elsewhere_is_announced() -> None:
    desk = Desk()
    fact = DamageFound("r", "main", ())

    async def too_late(_board: Board, _cancel: Cancellation) -> Outcome:
        async with desk.books.writing() as work:
            transfer = await work.transfers.get("t-1")
            assert transfer is not None
            await work.transfers.put(transfer.failed(Failure("Aborted", "X", "X."), desk.clock.now()))
        return Outcome(Result(), (fact,))

    desk.body = too_late
    await desk.handle()
    assert [fact] == list(desk.books.facts[1:])
    assert State.FAILED == (await desk.transfer()).state
