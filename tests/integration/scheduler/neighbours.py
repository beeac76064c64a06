"""The scheduler's and the catalog's neighbours: their contracts, served by real gRPC from memory."""

from collections.abc import AsyncIterator
from typing import Any

from xenkeep.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from xenkeep.common.v1 import point_pb2
from xenkeep.hypervisor.v1 import pool_pb2, pool_pb2_grpc, vm_pb2, vm_pb2_grpc
from xenkeep.mover.v1 import repository_pb2, repository_pb2_grpc

from services.chassis.errors import NotFound, Unavailable
from services.chassis.rpc.server import RpcServer, Service
from tests.support.nats import NatsServer

POOL, REPOSITORY, SITE = "pool-1", "11111111-2222-3333-4444-555555555555", "berlin"


def vm(name: str, host: str = "host-1") -> vm_pb2.Vm:
    return vm_pb2.Vm(name=f"pools/{POOL}/vms/uuid-{name}", display_name=name, host_id=host)


def point(point_id: str, name: str = "web", second: int = 1) -> point_pb2.Point:
    made = point_pb2.Point(
        point_id=point_id,
        repository_id=REPOSITORY,
        asset=point_pb2.Asset(
            asset_id=f"uuid-{name}", display_name=name, pool_id=POOL, pool_display_name="lab"
        ),
    )
    made.snapshot_time.FromSeconds(1_800_000_000 + second)
    return made


class Hypervisor(vm_pb2_grpc.VmServiceServicer, pool_pb2_grpc.PoolServiceServicer):
    """``trouble`` is raised instead of an answer. Lists two VMs to a page, and has no templates."""

    def __init__(self, *names: str) -> None:
        self.vms = [vm(name, f"host-{number}") for number, name in enumerate(names)]
        self.trouble: Unavailable | None = None

    async def ListVms(self, request: vm_pb2.ListVmsRequest, context: Any) -> vm_pb2.ListVmsResponse:
        if self.trouble:
            raise self.trouble
        if request.templates:
            return vm_pb2.ListVmsResponse()
        start = int(request.page_token or 0)
        more = str(start + 2) if len(self.vms) > start + 2 else ""
        return vm_pb2.ListVmsResponse(vms=self.vms[start : start + 2], next_page_token=more)

    async def GetPool(self, request: pool_pb2.GetPoolRequest, context: Any) -> pool_pb2.Pool:
        if request.name not in (POOL, f"pools/{POOL}", "lab"):
            raise NotFound(f"There is no pool {request.name}.", reason="POOL_NOT_FOUND")
        return pool_pb2.Pool(name=f"pools/{POOL}", display_name="lab")


class Mover(repository_pb2_grpc.RepositoryServiceServicer):
    """One repository, ``main``."""

    def __init__(self) -> None:
        self.points: list[repository_pb2.ListPointsResponse] = []
        self.trouble: Unavailable | None = None

    async def GetRepository(
        self, request: repository_pb2.GetRepositoryRequest, context: Any
    ) -> repository_pb2.Repository:
        if request.name not in ("main", f"repositories/{REPOSITORY}"):
            raise NotFound(f"There is no repository {request.name}.", reason="REPOSITORY_NOT_FOUND")
        return _repository()

    async def ListRepositories(
        self, request: repository_pb2.ListRepositoriesRequest, context: Any
    ) -> repository_pb2.ListRepositoriesResponse:
        if self.trouble:
            raise self.trouble
        return repository_pb2.ListRepositoriesResponse(repositories=[_repository()])

    async def ListPoints(
        self, request: repository_pb2.ListPointsRequest, context: Any
    ) -> AsyncIterator[repository_pb2.ListPointsResponse]:
        for listed in list(self.points):
            yield listed


class Catalog(catalog_pb2_grpc.RestorePointServiceServicer):
    """``points`` by id."""

    def __init__(self) -> None:
        self.points: dict[str, catalog_pb2.RestorePoint] = {}

    async def GetRestorePoint(
        self, request: catalog_pb2.GetRestorePointRequest, context: Any
    ) -> catalog_pb2.RestorePoint:
        try:
            return self.points[request.name]
        except KeyError:
            raise NotFound(f"There is no {request.name}.", reason="RESTORE_POINT_NOT_FOUND") from None


def serve_hypervisor(nats: NatsServer, servicer: Hypervisor, listen: str = "127.0.0.1:0") -> RpcServer:
    services: list[Service] = [
        (vm_pb2_grpc.add_VmServiceServicer_to_server, servicer, {"scheduler"}),
        (pool_pb2_grpc.add_PoolServiceServicer_to_server, servicer, {"scheduler"}),
    ]
    return RpcServer(listen, nats.tls("hypervisor"), services)


def serve_mover(nats: NatsServer, servicer: Mover) -> RpcServer:
    add = repository_pb2_grpc.add_RepositoryServiceServicer_to_server
    return RpcServer("127.0.0.1:0", nats.tls("mover"), [(add, servicer, {"scheduler", "catalog"})])


def serve_catalog(nats: NatsServer, servicer: Catalog) -> RpcServer:
    add = catalog_pb2_grpc.add_RestorePointServiceServicer_to_server
    return RpcServer("127.0.0.1:0", nats.tls("catalog"), [(add, servicer, {"scheduler"})])


def _repository() -> repository_pb2.Repository:
    return repository_pb2.Repository(name=f"repositories/{REPOSITORY}", display_name="main", site=SITE)
