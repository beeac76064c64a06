"""The catalog: which concrete things, in what order."""

from collections.abc import Sequence

from xenkeep.catalog.v1.catalog_pb2_grpc import add_RestorePointServiceServicer_to_server

from services.catalog.adapters.grpc_movers import GrpcMovers
from services.catalog.adapters.sql_shelf import SqlShelf, SqlWork
from services.catalog.api import RestorePointApi
from services.catalog.app.finding import Finding
from services.catalog.app.projection import Projection
from services.catalog.app.rounds import SyncRounds
from services.catalog.app.syncing import Syncing
from services.catalog.config import CatalogConfig
from services.catalog.consumers import Consumers
from services.chassis.bell import Bell, RingingDatabase
from services.chassis.program import Component
from services.chassis.rpc.identity import EVERY, Callers
from services.chassis.serve import Base, serve

MIGRATIONS = "services.catalog.migrations"
CALLERS: Callers = {"admin": EVERY, "console": EVERY, "scheduler": {"GetRestorePoint"}}


def compose(base: Base[CatalogConfig]) -> Sequence[Component]:
    config = base.config
    bell = Bell()
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = RingingDatabase(
        bell, config.database(base.name), base.name, MIGRATIONS, ids=base.ids, clock=base.clock
    )
    bus, mover = base.bus(), base.channel(config.mover)
    shelf = SqlShelf(database)
    movers = GrpcMovers(mover, config.neighbour_deadline, config.listing_deadline)
    consumer = base.consumer(database, bus, Consumers(Projection(), SqlWork).table())
    finding, syncing = Finding(shelf, consumer), Syncing(shelf, movers, base.clock)
    return [
        database,
        bus,
        base.outbox(database, bus),
        mover,
        consumer,
        SyncRounds(syncing, bell, base.clock),
        base.rpc([(add_RestorePointServiceServicer_to_server, RestorePointApi(finding, syncing), CALLERS)]),
    ]


def main() -> None:
    serve("catalog", CatalogConfig, compose)


if __name__ == "__main__":
    main()
