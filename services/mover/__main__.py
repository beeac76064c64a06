"""A mover, put together."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from xenkeep.mover.v1.replica_pb2_grpc import add_ReplicaServiceServicer_to_server
from xenkeep.mover.v1.repository_pb2_grpc import add_RepositoryServiceServicer_to_server
from xenkeep.mover.v1.transfer_pb2_grpc import add_TransferServiceServicer_to_server

from services.chassis.bell import Bell, RingingDatabase
from services.chassis.bus.consumer import Consumer
from services.chassis.program import Component
from services.chassis.rpc.identity import EVERY, Callers
from services.chassis.sealing import Sealer
from services.chassis.serve import Base, serve
from services.mover.adapters.copy_targets import GrpcAndStoreTargets
from services.mover.adapters.disks import HypervisorDisks
from services.mover.adapters.grpc_hypervisor import GrpcHypervisor
from services.mover.adapters.grpc_pool_metadata import GrpcPoolMetadata
from services.mover.adapters.machine_memory import MeasuredRoom
from services.mover.adapters.patience import Patience
from services.mover.adapters.patient_hypervisor import PatientHypervisor
from services.mover.adapters.sql_books import SqlBooks
from services.mover.adapters.stores import Stores
from services.mover.adapters.transfer_queue import transfer_workers
from services.mover.api.replicas import ReplicaApi
from services.mover.api.repositories import RepositoryApi
from services.mover.api.transfers import TransferApi
from services.mover.app.arrivals import Arrivals
from services.mover.app.backup import DEFAULT_CONNECTIONS, BackupRunner
from services.mover.app.backup_job import DISKS_AT_ONCE as BACKUP_DISKS_AT_ONCE
from services.mover.app.copy import Copies, CopyRunner
from services.mover.app.deletions import Deletions
from services.mover.app.guests import Guests
from services.mover.app.heal import HealRunner, Heals
from services.mover.app.keys import Keys
from services.mover.app.noticing import Noticing
from services.mover.app.point_streams import PointStreams
from services.mover.app.pool_backup import PoolBackupRunner
from services.mover.app.prune import PruneRunner
from services.mover.app.replicas import Replicas
from services.mover.app.repositories import Repositories
from services.mover.app.restore import DISKS_AT_ONCE, RestoreRunner
from services.mover.app.shelf import Shelf
from services.mover.app.statistics import RepositoryStatistics
from services.mover.app.transfers import Transfers
from services.mover.app.verify import RebuildRunner, VerifyRunner
from services.mover.app.worker import Worker
from services.mover.config import MoverConfig
from services.mover.consumers import consumer_name, handlers
from services.mover.domain.copying import Copy, Heal
from services.mover.domain.transfer import Backup, PoolBackup, Prune, Rebuild, Restore, Verify
from services.mover.repository import BackupOptions, RestoreOptions

MIGRATIONS = "services.mover.migrations"
PEOPLE = {"admin": EVERY, "console": EVERY}
REPOSITORY_CALLERS: Callers = PEOPLE | {
    "scheduler": {"GetRepository"},
    "catalog": {"GetRepository", "ListRepositories", "ListPoints"},
}
TRANSFER_CALLERS: Callers = PEOPLE | {"scheduler": {"GetTransfer"}}
SENDERS: Callers = {"mover": EVERY}
"""Movers of other sites, who send copies."""
THREADS_TO_SPARE = 16
"""For answering questions while all transfers hold theirs."""
_log = structlog.get_logger("xenkeep.mover")


def compose(base: Base[MoverConfig]) -> Sequence[Component]:
    """Work comes in by the queue, questions by gRPC; the hypervisor service is asked, nobody else."""
    config, clock = base.config, base.clock
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    threads = DISKS_AT_ONCE * config.transfers_at_once + THREADS_TO_SPARE
    loop.set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="mover"))
    bell = Bell()
    database = RingingDatabase(
        bell, config.database(base.name), base.name, MIGRATIONS, ids=base.ids, clock=clock
    )
    bus = base.bus()
    channel = base.channel(config.hypervisor)

    books = SqlBooks(database, config.site)
    stores = Stores(config.s3_credentials_dir, config.s3_ca)
    shelf = Shelf(books, Sealer(config.data_dir / "sealing.key"), stores, config.data_dir / "cache")
    targets = GrpcAndStoreTargets(stores, base.tls, clock, loop)
    arrivals = Arrivals(config.data_dir / "arriving", clock)
    arrivals.sweep()
    copies_at = stores.location(config.replicas) if config.replicas else None
    replicas = Replicas(stores, copies_at, arrivals, Guests(clock))
    grpc_hypervisor = GrpcHypervisor(channel)
    patience = Patience(clock)
    hypervisor = PatientHypervisor(grpc_hypervisor, patience)
    disks = HypervisorDisks(grpc_hypervisor, patience, loop)

    def options(connections: int) -> BackupOptions:
        return BackupOptions(
            readers=connections,
            level=config.compression_level,
            unchanged_chunks=config.unchanged_sample,
            checkpoint_seconds=config.checkpoint_interval.total_seconds(),
        )

    worker = Worker(
        books,
        {
            kind: Noticing(runner, shelf)
            for kind, runner in (
                (Backup, BackupRunner(shelf, hypervisor, disks, options, clock)),
                (PoolBackup, PoolBackupRunner(shelf, GrpcPoolMetadata(channel), options, clock)),
                (Restore, RestoreRunner(shelf, hypervisor, disks, RestoreOptions(), clock)),
                (Verify, VerifyRunner(shelf, books)),
                (Rebuild, RebuildRunner(shelf)),
                (Prune, PruneRunner(shelf, config.trash_grace, lambda: options(0))),
                (Copy, CopyRunner(shelf, targets)),
                (Heal, HealRunner(shelf, lambda: options(0))),
            )
        },
        clock,
        lambda error: _log.error("a transfer met a defect", exc_info=error),
    )
    lease = config.transfer_lease.total_seconds()
    room = MeasuredRoom(
        config.transfers_at_once,
        options(DEFAULT_CONNECTIONS).memory_bytes(BACKUP_DISKS_AT_ONCE),
        lambda now: _log.warning("room for transfers", transfers=now.transfers, detail=now.told()),
    )
    transfers = Transfers(books, bell, clock, base.ids, room.told)
    repositories = Repositories(books, shelf, clock)
    return [
        database,
        bus,
        base.outbox(database, bus),
        channel,
        targets,
        shelf,
        transfer_workers(bus, config.site, worker, room, lease, clock),
        Consumer(bus, database, consumer_name(config.site), handlers(transfers, config.site), clock=clock),
        base.rpc(
            [
                (
                    add_RepositoryServiceServicer_to_server,
                    RepositoryApi(
                        repositories,
                        Keys(books, shelf),
                        Deletions(books, shelf),
                        transfers,
                        Copies(transfers, targets),
                        Heals(transfers, shelf),
                        PointStreams(shelf),
                        RepositoryStatistics(shelf),
                        config.site,
                    ),
                    REPOSITORY_CALLERS,
                ),
                (add_TransferServiceServicer_to_server, TransferApi(transfers), TRANSFER_CALLERS),
                (add_ReplicaServiceServicer_to_server, ReplicaApi(replicas), SENDERS),
            ]
        ),
    ]


def main() -> None:
    serve("mover", MoverConfig, compose)


if __name__ == "__main__":
    main()
