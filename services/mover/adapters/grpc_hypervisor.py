"""The hypervisor service by gRPC."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import grpc
from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import (
    backup_source_pb2,
    backup_source_pb2_grpc,
    restore_target_pb2,
    restore_target_pb2_grpc,
)

from services.chassis.rpc.channel import translated
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.write_endpoint import WriteEndpoint
from services.mover.domain import Extent
from services.mover.domain.capture import FullReason, Method, Remark
from services.mover.domain.placement import Placement
from services.mover.domain.source import Base, Source, Target
from services.mover.wire.capture import method_to_proto, reason_to_proto, remark_from_proto
from services.mover.wire.source import source_from_proto, target_from_proto
from services.mover.wire.spec import placement_to_proto

OPEN_SECONDS = 3600.0
"""Opening may shut a guest down first, or wait for a chain to be coalesced."""
COMMIT_SECONDS = 1800.0
QUICK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the disks of a source can be read now, by disk id, and what is told of the source by now."""

    endpoints: Mapping[str, Sequence[NbdEndpoint]]
    notices: tuple[Remark, ...]


class GrpcHypervisor:
    """``ports.neighbours.Hypervisor``, and where disks are now."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._sources = backup_source_pb2_grpc.BackupSourceServiceStub(channel)
        self._targets = restore_target_pb2_grpc.RestoreTargetServiceStub(channel)

    async def open_source(
        self,
        source_id: str,
        vm: str,
        method: Method,
        bases: Sequence[Base],
        reason: FullReason,
        options: bytes = b"",
        group: bytes = b"",
        lineage: str = "",
    ) -> Source:
        request = backup_source_pb2.OpenBackupSourceRequest(
            vm=vm,
            backup_source_id=source_id,
            method=method_to_proto(method),
            bases=[
                backup_source_pb2.DiskBase(disk_id=base.disk_id, tracking_ref=base.tracking_ref)
                for base in bases
            ],
            full_reason=reason_to_proto(reason),
            options=capture_pb2.CaptureOptions.FromString(options),
            group=backup_source_pb2.SourceGroup.FromString(group) if group else None,
            lineage=lineage,
        )
        with translated("hypervisor"):
            return source_from_proto(await self._sources.OpenBackupSource(request, timeout=OPEN_SECONDS))

    async def extents(self, source: str, disk_id: str) -> AsyncIterator[Extent]:
        request = backup_source_pb2.ListExtentsRequest(name=source, disk_id=disk_id)
        with translated("hypervisor"):
            async for page in self._sources.ListExtents(request, timeout=OPEN_SECONDS):
                for extent in page.extents:
                    yield Extent(extent.offset_bytes, extent.length_bytes)

    async def review_source(self, source: str) -> tuple[Remark, ...]:
        request = backup_source_pb2.ReviewBackupSourceRequest(name=source)
        with translated("hypervisor"):
            answer = await self._sources.ReviewBackupSource(request, timeout=QUICK_SECONDS)
        return tuple(map(remark_from_proto, answer.notices))

    async def close_source(self, source: str, *, committed: bool) -> tuple[Remark, ...]:
        request = backup_source_pb2.CloseBackupSourceRequest(name=source, committed=committed)
        with translated("hypervisor"):
            answer = await self._sources.CloseBackupSource(request, timeout=COMMIT_SECONDS)
        return tuple(map(remark_from_proto, answer.notices))

    async def whereabouts(self, source: str, connections: int) -> Whereabouts:
        """Of an open source, for a reader that wants so many connections to each disk."""
        with translated("hypervisor"):
            found = await self._sources.GetBackupSource(
                backup_source_pb2.GetBackupSourceRequest(name=source, connections=connections),
                timeout=QUICK_SECONDS,
            )
        endpoints = {
            disk.disk_id: [
                NbdEndpoint(
                    host_id=endpoint.host_id,
                    address=endpoint.address,
                    port=endpoint.port,
                    export_name=endpoint.export_name,
                    certificate_pem=endpoint.certificate_pem,
                    server_name=endpoint.server_name,
                    max_connections=endpoint.max_connections,
                )
                for endpoint in disk.nbd_endpoints
            ]
            for disk in found.disks
        }
        return Whereabouts(endpoints, tuple(map(remark_from_proto, found.notices)))

    async def prepare_target(
        self,
        target_id: str,
        placement: Placement,
        vm_configuration: bytes,
        disks: Sequence[tuple[str, int, str]],
    ) -> Target:
        request = restore_target_pb2.PrepareRestoreTargetRequest(
            restore_target_id=target_id,
            placement=placement_to_proto(placement),
            vm_configuration=vm_configuration,
            disks=[
                restore_target_pb2.DiskToRestore(disk_id=disk_id, size_bytes=size, display_name=name)
                for disk_id, size, name in disks
            ],
        )
        with translated("hypervisor"):
            return target_from_proto(await self._targets.PrepareRestoreTarget(request, timeout=OPEN_SECONDS))

    async def commit_target(self, target: str) -> Target:
        request = restore_target_pb2.CommitRestoreTargetRequest(name=target)
        with translated("hypervisor"):
            return target_from_proto(await self._targets.CommitRestoreTarget(request, timeout=COMMIT_SECONDS))

    async def abort_target(self, target: str) -> None:
        request = restore_target_pb2.AbortRestoreTargetRequest(name=target)
        with translated("hypervisor"):
            await self._targets.AbortRestoreTarget(request, timeout=COMMIT_SECONDS)

    async def write_endpoints(self, target: str) -> dict[str, tuple[WriteEndpoint, ...]]:
        """Where each disk, by its id, can be written now, the best first. Asking makes void what was written
        before."""
        with translated("hypervisor"):
            found = await self._targets.GetRestoreTarget(
                restore_target_pb2.GetRestoreTargetRequest(name=target), timeout=QUICK_SECONDS
            )
        return {
            disk.disk_id: tuple(
                WriteEndpoint(host_id=each.host_id, url=each.url, certificate_pem=each.certificate_pem)
                for each in (disk.endpoint, *disk.other_endpoints)
            )
            for disk in found.disks
        }
