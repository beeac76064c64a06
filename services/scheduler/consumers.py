"""Which facts the scheduler reacts to."""

from collections.abc import Callable, Mapping

from google.protobuf.message import Message
from xenkeep.hypervisor.v1 import events_pb2 as hypervisor_events
from xenkeep.mover.v1 import events_pb2

from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.consumer import Handler
from services.chassis.bus.readable import readable
from services.chassis.sql import Transaction
from services.scheduler.app.hindrances import Hindrances
from services.scheduler.app.moves import Moves
from services.scheduler.app.transfers import Transfers
from services.scheduler.ports import Work
from services.scheduler.wire.names import id_in
from services.scheduler.wire.run import progress_from_proto
from services.scheduler.wire.times import failure_from_proto, notice_from_proto


class Consumers:
    """Each handler unpacks, calls once, within the transaction that remembers the event."""

    def __init__(
        self,
        transfers: Transfers,
        moves: Moves,
        hindrances: Hindrances,
        work_on: Callable[[Transaction], Work],
    ) -> None:
        self._transfers, self._moves, self._hindrances = transfers, moves, hindrances
        self._work_on = work_on

    def table(self) -> Mapping[type[Message], Handler]:
        return {
            events_pb2.TransferStarted: self._started,
            events_pb2.TransferProgressed: self._progressed,
            events_pb2.TransferFinished: self._finished,
            events_pb2.TransferFailed: self._failed,
            events_pb2.TransferCancelled: self._cancelled,
            hypervisor_events.VmMoved: self._moved,
            hypervisor_events.SnapshotPossible: self._possible,
        }

    async def _started(self, tx: Transaction, event: events_pb2.TransferStarted, meta: Meta) -> None:
        await self._transfers.started(self._work_on(tx), _id(event.transfer))

    async def _progressed(self, tx: Transaction, event: events_pb2.TransferProgressed, meta: Meta) -> None:
        progress = progress_from_proto(event.progress)
        await self._transfers.progressed(self._work_on(tx), _id(event.transfer), progress)

    async def _finished(self, tx: Transaction, event: events_pb2.TransferFinished, meta: Meta) -> None:
        result = event.result.SerializeToString(deterministic=True)
        await self._transfers.finished(self._work_on(tx), _id(event.transfer), result)

    async def _failed(self, tx: Transaction, event: events_pb2.TransferFailed, meta: Meta) -> None:
        failure = failure_from_proto(event.failure)
        transfer_id = _id(event.transfer)
        notices = tuple(notice_from_proto(notice) for notice in event.notices)
        await self._transfers.failed(
            self._work_on(tx), transfer_id, failure, retryable=event.retryable, notices=notices
        )

    async def _cancelled(self, tx: Transaction, event: events_pb2.TransferCancelled, meta: Meta) -> None:
        await self._transfers.cancelled(self._work_on(tx), _id(event.transfer))

    async def _moved(self, tx: Transaction, event: hypervisor_events.VmMoved, meta: Meta) -> None:
        await self._moves.moved(self._work_on(tx), event.vm, event.new_host_id)

    async def _possible(self, tx: Transaction, event: hypervisor_events.SnapshotPossible, meta: Meta) -> None:
        await self._hindrances.over(self._work_on(tx), event.vm)


def _id(name: str) -> str:
    with readable():
        return id_in(name, "transfers")
