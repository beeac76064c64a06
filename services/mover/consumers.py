"""Which facts a mover reacts to."""

from google.protobuf.message import Message
from xenkeep.scheduler.v1 import events_pb2

from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.consumer import Handler
from services.chassis.sql import Transaction
from services.mover.adapters.sql_books import SqlWork
from services.mover.app.transfers import Transfers


def consumer_name(site: str) -> str:
    """Movers of one site share what they hear; every site hears all, and looks at what may concern it."""
    return f"mover-{site}"


def handlers(transfers: Transfers, site: str) -> dict[type[Message], Handler]:
    """The table."""

    async def cancel(tx: Transaction, event: events_pb2.TransferCancelRequested, _meta: Meta) -> None:
        if event.site in (site, ""):  # older schedulers name none
            await transfers.cancel_in(SqlWork(tx, site), event.transfer_id)

    return {events_pb2.TransferCancelRequested: cancel}
