"""Which facts the hypervisor service reacts to: transfers that will not close what they opened."""

from collections.abc import Callable, Mapping

from google.protobuf.message import Message
from xenkeep.mover.v1 import events_pb2

from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.consumer import Handler
from services.chassis.sql import Transaction
from services.hypervisor.adapters import sql_sources, sql_targets


class Consumers:
    """A transfer's id is the id of its backup source or restore target. ``wake`` is told the pool."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._wake = wake

    def table(self) -> Mapping[type[Message], Handler]:
        return {
            events_pb2.TransferFailed: self._gave_up,
            events_pb2.TransferCancelled: self._gave_up,
        }

    async def _gave_up(
        self, tx: Transaction, event: events_pb2.TransferFailed | events_pb2.TransferCancelled, meta: Meta
    ) -> None:
        id = event.transfer.removeprefix("transfers/")
        for pool_id in (await sql_sources.give_up(tx, id), await sql_targets.give_up(tx, id)):
            if pool_id is not None:
                self._wake(pool_id)
