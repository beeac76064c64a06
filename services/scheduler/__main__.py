"""The scheduler: which concrete things, in what order."""

from collections.abc import Sequence
from datetime import timedelta

from xenkeep.scheduler.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from xenkeep.scheduler.v1.run_pb2_grpc import add_RunServiceServicer_to_server

from services.chassis.bell import Bell, RingingDatabase
from services.chassis.program import Component
from services.chassis.serve import Base, serve
from services.scheduler.adapters.grpc_reports import GrpcReports
from services.scheduler.adapters.grpc_repositories import GrpcRepositories
from services.scheduler.adapters.grpc_restore_points import GrpcRestorePoints
from services.scheduler.adapters.grpc_vms import GrpcVms
from services.scheduler.adapters.sql_ledger import SqlLedger, SqlWork
from services.scheduler.api.policies import PolicyApi
from services.scheduler.api.runs import RunApi
from services.scheduler.app.dispatching import Dispatching
from services.scheduler.app.firing import Firing
from services.scheduler.app.hindrances import Hindrances
from services.scheduler.app.moves import Moves
from services.scheduler.app.policies import PolicyBook
from services.scheduler.app.rounds import Rounds
from services.scheduler.app.runs import RunBook
from services.scheduler.app.selecting import Selecting
from services.scheduler.app.starting import Starting
from services.scheduler.app.transfers import Transfers
from services.scheduler.app.watchdog import Watchdog
from services.scheduler.config import SchedulerConfig
from services.scheduler.consumers import Consumers
from services.scheduler.domain.admission import Defaults

MIGRATIONS = "services.scheduler.migrations"
CALLERS = frozenset({"admin", "console"})
LOOK_EVERY = timedelta(seconds=5)
WATCH_EVERY = timedelta(seconds=30)


def compose(base: Base[SchedulerConfig]) -> Sequence[Component]:
    config, clock, ids = base.config, base.clock, base.ids
    bell = Bell()
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = RingingDatabase(bell, config.database(base.name), base.name, MIGRATIONS, ids=ids, clock=clock)
    bus = base.bus()
    hypervisor, mover, catalog = map(base.channel, (config.hypervisor, config.mover, config.catalog))

    ledger = SqlLedger(database)
    vms = GrpcVms(hypervisor, config.neighbour_deadline)
    repositories = GrpcRepositories(mover, config.neighbour_deadline)
    points = GrpcRestorePoints(catalog, config.neighbour_deadline)
    reports = GrpcReports(mover, config.neighbour_deadline)
    limits = Defaults(config.tasks_per_run, config.tasks_per_host, config.tasks_per_pool, config.tasks_per_sr)

    policies = PolicyBook(ledger, vms, repositories, clock, ids)
    starting = Starting(ledger, vms, repositories, points, clock, ids)
    runs = RunBook(ledger, bell, clock)
    workers = (
        Firing(ledger, clock, ids),
        Selecting(ledger, vms, repositories, clock, ids, config.selection_patience),
        Dispatching(ledger, clock, ids, limits),
        Watchdog(ledger, reports, clock, config.transfer_silence, WATCH_EVERY),
    )
    return [
        database,
        bus,
        base.outbox(database, bus),
        hypervisor,
        mover,
        catalog,
        base.consumer(
            database, bus, Consumers(Transfers(clock), Moves(clock), Hindrances(clock), SqlWork).table()
        ),
        *(Rounds(worker.round, bell, clock, LOOK_EVERY) for worker in workers),
        base.rpc(
            [
                (add_PolicyServiceServicer_to_server, PolicyApi(policies), CALLERS),
                (add_RunServiceServicer_to_server, RunApi(starting, runs), CALLERS),
            ]
        ),
    ]


def main() -> None:
    serve("scheduler", SchedulerConfig, compose)


if __name__ == "__main__":
    main()
