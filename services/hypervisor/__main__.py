"""The composition root of the hypervisor service."""

import hashlib
import os
import signal

from xenkeep.hypervisor.v1 import (
    backup_source_pb2_grpc,
    pool_metadata_pb2_grpc,
    pool_pb2_grpc,
    restore_target_pb2_grpc,
    vm_pb2_grpc,
)

from services.chassis.program import Component
from services.chassis.rpc.identity import EVERY, Callers
from services.chassis.sealing import Sealer
from services.chassis.serve import Base, serve
from services.hypervisor.adapters.https_hooks import HttpsHooks
from services.hypervisor.adapters.no_agents import NoAgents
from services.hypervisor.adapters.sql_groups import SqlGroups
from services.hypervisor.adapters.sql_hindered import SqlHindered
from services.hypervisor.adapters.sql_interventions import SqlInterventions
from services.hypervisor.adapters.sql_pools import SqlPools
from services.hypervisor.adapters.sql_sources import SqlSources
from services.hypervisor.adapters.sql_targets import SqlTargets
from services.hypervisor.adapters.xapi_gateway import XapiGateway
from services.hypervisor.api.pool_metadata import PoolMetadataApi
from services.hypervisor.api.pools import PoolApi, VmApi
from services.hypervisor.api.sources import BackupSourceApi
from services.hypervisor.api.targets import RestoreTargetApi
from services.hypervisor.app.captures import Captures
from services.hypervisor.app.care import Care
from services.hypervisor.app.janitor import Bell, Janitor
from services.hypervisor.app.pool_metadata import PoolMetadata
from services.hypervisor.app.pools import Pools, Vms
from services.hypervisor.app.shares import Shares
from services.hypervisor.app.sources import Sources
from services.hypervisor.app.steps import Passed, nobody
from services.hypervisor.app.switched_off import SwitchedOff
from services.hypervisor.app.targets import Targets
from services.hypervisor.config import HypervisorConfig
from services.hypervisor.consumers import Consumers
from services.hypervisor.domain.care import CareLimits
from services.hypervisor.domain.shares import CONNECTIONS_PER_HOST

KEY_FILE = "sealing.key"
PEOPLE = {"admin": EVERY, "console": EVERY}
POOL_CALLERS: Callers = PEOPLE | {"scheduler": {"GetPool", "ListPools"}}
VM_CALLERS: Callers = PEOPLE | {"scheduler": {"ListVms"}}
METADATA_CALLERS: Callers = PEOPLE | {"mover": {"ListPoolParts", "ReadPoolPart"}}
DISK_CALLERS: Callers = {"admin", "mover"}


def compose(base: Base[HypervisorConfig]) -> list[Component]:
    database, bus = base.database("services.hypervisor.migrations"), base.bus()
    sealer = Sealer(base.config.data_dir / KEY_FILE)
    installation = hashlib.sha256((base.config.data_dir / KEY_FILE).read_bytes()).hexdigest()[:32]
    source_store, target_store = SqlSources(database, sealer), SqlTargets(database, sealer)
    gateway = XapiGateway(base.clock, installation, base.config.pool_patience.total_seconds())
    bell = Bell()
    passed = _dies_at(base.config.crash_at)
    stirred, halted = Bell(), Bell()
    pool_store = SqlPools(database, sealer)
    pools = Pools(
        pool_store,
        gateway,
        base.clock,
        bell.ring,
        stirred.ring,
        halted.ring,
        canvass_every_s=base.config.canvass_every.total_seconds(),
    )
    shares = Shares(source_store, CONNECTIONS_PER_HOST - base.config.nbd_spare, base.clock)
    care = Care(pools, SqlHindered(database), shares, _care_limits(base.config), base.clock, stirred)
    hooks = HttpsHooks(base.clock, base.config.hook_ca)
    agents = NoAgents()
    captures = Captures(SqlInterventions(database, sealer), hooks, agents, passed)
    sources = Sources(source_store, SqlGroups(database), captures, care, pools, base.clock, passed)
    targets = Targets(target_store, pools, base.clock, passed)
    return [
        database,
        database.only_one(),
        bus,
        base.outbox(database, bus),
        pools,
        care,
        SwitchedOff(pools, sources, source_store, halted),
        Janitor(pools, sources, targets, source_store, target_store, base.clock, bell),
        base.consumer(database, bus, Consumers(bell.ring).table()),
        base.rpc(
            [
                (pool_pb2_grpc.add_PoolServiceServicer_to_server, PoolApi(pools), POOL_CALLERS),
                (vm_pb2_grpc.add_VmServiceServicer_to_server, VmApi(Vms(pools, agents)), VM_CALLERS),
                (
                    pool_metadata_pb2_grpc.add_PoolMetadataServiceServicer_to_server,
                    PoolMetadataApi(PoolMetadata(pools)),
                    METADATA_CALLERS,
                ),
                (
                    backup_source_pb2_grpc.add_BackupSourceServiceServicer_to_server,
                    BackupSourceApi(sources),
                    DISK_CALLERS,
                ),
                (
                    restore_target_pb2_grpc.add_RestoreTargetServiceServicer_to_server,
                    RestoreTargetApi(targets, pools),
                    DISK_CALLERS,
                ),
            ]
        ),
    ]


def _care_limits(config: HypervisorConfig) -> CareLimits:
    return CareLimits(config.longest_chain, config.most_uncoalesced, config.sr_reserve_percent)


def _dies_at(step: str) -> Passed:
    """Kills this process after ``step``, as a power cut would."""
    if not step:
        return nobody

    def passed(done: str) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return passed


def main() -> None:
    serve("hypervisor", HypervisorConfig, compose)


if __name__ == "__main__":
    main()
