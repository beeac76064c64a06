"""The notifier, put together."""

import socket

from xenkeep.notifier.v1.notifier_pb2_grpc import add_ChannelServiceServicer_to_server

from services.chassis.program import Component
from services.chassis.serve import Base, serve
from services.notifier.adapters.channel_files import ChannelFiles
from services.notifier.adapters.counted_sinks import CountedSinks
from services.notifier.adapters.sink_table import SinkTable
from services.notifier.adapters.sql_books import SqlBooks
from services.notifier.adapters.sql_store import SqlStore
from services.notifier.api import ChannelApi
from services.notifier.app.channels import ChannelDesk
from services.notifier.app.courier import Courier
from services.notifier.app.deliveries import DeliveryList
from services.notifier.app.notify import Notify
from services.notifier.config import NotifierConfig
from services.notifier.consumers import EVENT_TYPES, handlers

CALLERS = frozenset({"admin", "console"})


def compose(base: Base[NotifierConfig]) -> list[Component]:
    """Facts come in by the consumer, deliveries go out by the courier."""
    config = base.config
    config.channel_files.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = base.database("services.notifier.migrations")
    bus = base.bus()

    store = SqlStore(database)
    files = ChannelFiles(config.channel_files)
    sinks = CountedSinks(SinkTable(files, config.hostname or socket.gethostname()))

    courier = Courier(store, sinks, base.clock, keep=config.keep_deliveries)
    notify = Notify(base.ids, base.clock, courier.wake)
    desk = ChannelDesk(store, sinks, EVENT_TYPES, base.ids, base.clock)
    api = ChannelApi(desk, DeliveryList(store))

    return [
        database,
        bus,
        base.outbox(database, bus),
        courier,
        base.consumer(database, bus, handlers(notify, SqlBooks)),
        base.rpc([(add_ChannelServiceServicer_to_server, api, CALLERS)]),
    ]


def main() -> None:
    serve("notifier", NotifierConfig, compose)


if __name__ == "__main__":
    main()
