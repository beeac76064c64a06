"""BackupSourceService."""

from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, backup_source_pb2_grpc

from services.hypervisor.app.readables import Readable
from services.hypervisor.app.sources import Sources
from services.hypervisor.domain.names import parse, require_uuid
from services.hypervisor.domain.shares import CONNECTIONS_PER_HOST
from services.hypervisor.domain.source import Base
from services.hypervisor.wire.options import options_from_proto
from services.hypervisor.wire.sources import (
    group_from_proto,
    method_from_proto,
    notice_to_proto,
    reason_from_proto,
    source_to_proto,
)

EXTENTS_PER_MESSAGE = 8192
CONNECTIONS = 4
"""Per disk, for a caller that does not say."""


class BackupSourceApi(backup_source_pb2_grpc.BackupSourceServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def OpenBackupSource(
        self, request: backup_source_pb2.OpenBackupSourceRequest, context: Any
    ) -> backup_source_pb2.BackupSource:
        pool_id, vm_id = parse(request.vm, "vms")
        readable = await self._sources.open(
            pool_id,
            vm_id,
            require_uuid(request.backup_source_id, "The id of the backup source"),
            method_from_proto(request.method),
            tuple(Base(base.disk_id, base.tracking_ref) for base in request.bases),
            reason_from_proto(request.full_reason),
            options_from_proto(request.options),
            request.lineage,
            group_from_proto(request.group),
        )
        return _packed(readable)

    async def GetBackupSource(
        self, request: backup_source_pb2.GetBackupSourceRequest, context: Any
    ) -> backup_source_pb2.BackupSource:
        pool_id, source_id = parse(request.name, "backupSources")
        wanted = min(max(request.connections, 0) or CONNECTIONS, CONNECTIONS_PER_HOST)
        return _packed(await self._sources.get(pool_id, source_id, wanted))

    async def ListExtents(
        self, request: backup_source_pb2.ListExtentsRequest, context: Any
    ) -> AsyncIterator[backup_source_pb2.ListExtentsResponse]:
        extents = await self._sources.extents(*parse(request.name, "backupSources"), request.disk_id)
        while some := list(islice(extents, EXTENTS_PER_MESSAGE)):
            yield backup_source_pb2.ListExtentsResponse(
                extents=[
                    capture_pb2.Extent(offset_bytes=each.offset_bytes, length_bytes=each.length_bytes)
                    for each in some
                ]
            )

    async def ReviewBackupSource(
        self, request: backup_source_pb2.ReviewBackupSourceRequest, context: Any
    ) -> backup_source_pb2.ReviewBackupSourceResponse:
        told = await self._sources.review(*parse(request.name, "backupSources"))
        return backup_source_pb2.ReviewBackupSourceResponse(notices=map(notice_to_proto, told))

    async def CloseBackupSource(
        self, request: backup_source_pb2.CloseBackupSourceRequest, context: Any
    ) -> backup_source_pb2.CloseBackupSourceResponse:
        told = await self._sources.close(*parse(request.name, "backupSources"), request.committed)
        return backup_source_pb2.CloseBackupSourceResponse(notices=map(notice_to_proto, told))


def _packed(readable: Readable) -> backup_source_pb2.BackupSource:
    return source_to_proto(readable.source, readable.configuration, readable.endpoints)
