"""RepositoryService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from xenkeep.common.v1 import point_pb2
from xenkeep.mover.v1 import repository_pb2, repository_pb2_grpc, transfer_pb2

from services.chassis.config import Secret
from services.chassis.paging import page_size
from services.mover.app.copy import Copies
from services.mover.app.deletions import KEPT, Deletions
from services.mover.app.heal import Heals
from services.mover.app.keys import Keys
from services.mover.app.point_streams import PointStreams
from services.mover.app.repositories import Repositories
from services.mover.app.statistics import RepositoryStatistics
from services.mover.app.transfers import Transfers
from services.mover.domain.names import repository_id
from services.mover.domain.point import Point
from services.mover.wire.copying import copy_from_proto
from services.mover.wire.keys import epoch_to_proto, key_to_proto, new_key, report_to_proto
from services.mover.wire.point import point_to_proto, unreadable_to_proto
from services.mover.wire.repository import status_to_proto, trashed_to_proto
from services.mover.wire.statistics import usage_to_proto, walked_to_proto
from services.mover.wire.times import duration_from_proto
from services.mover.wire.transfer import transfer_to_proto


class RepositoryApi(repository_pb2_grpc.RepositoryServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(
        self,
        repositories: Repositories,
        keys: Keys,
        deletions: Deletions,
        transfers: Transfers,
        copies: Copies,
        heals: Heals,
        streams: PointStreams,
        statistics: RepositoryStatistics,
        site: str,
    ) -> None:
        self._repositories, self._keys, self._deletions = repositories, keys, deletions
        self._streams, self._statistics = streams, statistics
        self._copies, self._heals = copies, heals
        self._transfers, self._site = transfers, site

    async def CreateRepository(
        self, request: repository_pb2.CreateRepositoryRequest, context: Any
    ) -> repository_pb2.CreateRepositoryResponse:
        status, recovery_key = await self._repositories.create(
            request.display_name, request.url, Secret(request.passphrase), request.chunk_bytes
        )
        return repository_pb2.CreateRepositoryResponse(
            repository=status_to_proto(status, self._site), recovery_key=recovery_key
        )

    async def ImportRepository(
        self, request: repository_pb2.ImportRepositoryRequest, context: Any
    ) -> repository_pb2.Repository:
        status = await self._repositories.import_(request.display_name, request.url, Secret(request.secret))
        return status_to_proto(status, self._site)

    async def GetRepository(
        self, request: repository_pb2.GetRepositoryRequest, context: Any
    ) -> repository_pb2.Repository:
        return status_to_proto(await self._repositories.get(repository_id(request.name)), self._site)

    async def ListRepositories(
        self, request: repository_pb2.ListRepositoriesRequest, context: Any
    ) -> repository_pb2.ListRepositoriesResponse:
        size = page_size(request.page_size, 1000)
        page = await self._repositories.page(request.page_token, size + 1)
        shown = page[:size]
        return repository_pb2.ListRepositoriesResponse(
            repositories=[status_to_proto(status, self._site) for status in shown],
            next_page_token=shown[-1].registration.display_name if len(page) > size else "",
        )

    async def ReadPointStream(
        self, request: repository_pb2.ReadPointStreamRequest, context: Any
    ) -> AsyncIterator[repository_pb2.ReadPointStreamResponse]:
        id_ = repository_id(request.repository)
        async for piece in self._streams.read(id_, request.point_id, request.stream):
            yield repository_pb2.ReadPointStreamResponse(data=piece)

    async def ListPoints(
        self, request: repository_pb2.ListPointsRequest, context: Any
    ) -> AsyncIterator[repository_pb2.ListPointsResponse]:
        for point, damage in await self._repositories.points(repository_id(request.parent)):
            told = point_to_proto(point) if isinstance(point, Point) else unreadable_to_proto(point)
            yield repository_pb2.ListPointsResponse(point=told, damage_message=damage)

    async def VerifyRepository(
        self, request: repository_pb2.VerifyRepositoryRequest, context: Any
    ) -> transfer_pb2.Transfer:
        full = request.depth != repository_pb2.VerifyRepositoryRequest.DEPTH_SCRUB
        name, sample = repository_id(request.name), request.sample
        return transfer_to_proto(
            await self._transfers.verify(name, full=full, share=sample.share, packs=sample.pack_count)
        )

    async def RebuildRepository(
        self, request: repository_pb2.RebuildRepositoryRequest, context: Any
    ) -> transfer_pb2.Transfer:
        return transfer_to_proto(await self._transfers.rebuild(repository_id(request.name)))

    async def PruneRepository(
        self, request: repository_pb2.PruneRepositoryRequest, context: Any
    ) -> transfer_pb2.Transfer:
        told = request.HasField("grace_duration")
        grace = duration_from_proto(request.grace_duration) if told else None
        name = repository_id(request.name)
        return transfer_to_proto(await self._transfers.prune(name, dry_run=request.dry_run, grace=grace))

    async def CopyRepository(
        self, request: repository_pb2.CopyRepositoryRequest, context: Any
    ) -> transfer_pb2.Transfer:
        return transfer_to_proto(await self._copies.start(copy_from_proto(request.spec)))

    async def HealRepository(
        self, request: repository_pb2.HealRepositoryRequest, context: Any
    ) -> transfer_pb2.Transfer:
        return transfer_to_proto(await self._heals.start(repository_id(request.name), request.copy_url))

    async def DeletePoint(
        self, request: repository_pb2.DeletePointRequest, context: Any
    ) -> repository_pb2.DeletePointResponse:
        keep = request.keep_count if request.HasField("keep_count") else KEPT
        name = repository_id(request.parent)
        await self._deletions.delete(name, request.point_id, keep=keep, purge=request.purge)
        return repository_pb2.DeletePointResponse()

    async def UndeletePoint(
        self, request: repository_pb2.UndeletePointRequest, context: Any
    ) -> point_pb2.Point:
        return point_to_proto(await self._deletions.undelete(repository_id(request.parent), request.point_id))

    async def ListTrash(
        self, request: repository_pb2.ListTrashRequest, context: Any
    ) -> repository_pb2.ListTrashResponse:
        found = await self._deletions.trash(repository_id(request.parent))
        return repository_pb2.ListTrashResponse(points=map(trashed_to_proto, found))

    async def ProbeRepository(
        self, request: repository_pb2.ProbeRepositoryRequest, context: Any
    ) -> repository_pb2.ProbeRepositoryResponse:
        return report_to_proto(await self._keys.probe(request.url))

    async def GetRepositoryStatistics(
        self, request: repository_pb2.GetRepositoryStatisticsRequest, context: Any
    ) -> AsyncIterator[repository_pb2.GetRepositoryStatisticsResponse]:
        async with aclosing(self._statistics.survey(repository_id(request.name))) as survey:
            async for each in survey:
                if isinstance(each, tuple):
                    yield walked_to_proto(*each)
                else:
                    for part in usage_to_proto(each):
                        yield part

    async def ListRepositoryKeys(
        self, request: repository_pb2.ListRepositoryKeysRequest, context: Any
    ) -> repository_pb2.ListRepositoryKeysResponse:
        keys = await self._keys.list(repository_id(request.parent))
        return repository_pb2.ListRepositoryKeysResponse(keys=map(key_to_proto, keys))

    async def AddRepositoryKey(
        self, request: repository_pb2.AddRepositoryKeyRequest, context: Any
    ) -> repository_pb2.AddRepositoryKeyResponse:
        name, printed = repository_id(request.parent), ""
        wanted = new_key(request)
        if wanted is None:
            key, printed = await self._keys.add_recovery_key(name, request.label)
        else:
            key = await self._keys.add_passphrase(name, wanted, request.label, use=request.use)
        return repository_pb2.AddRepositoryKeyResponse(key=key_to_proto(key), recovery_key=printed)

    async def RemoveRepositoryKey(
        self, request: repository_pb2.RemoveRepositoryKeyRequest, context: Any
    ) -> repository_pb2.RemoveRepositoryKeyResponse:
        keys = await self._keys.remove(repository_id(request.parent), request.key_id)
        return repository_pb2.RemoveRepositoryKeyResponse(keys=map(key_to_proto, keys))

    async def RotateRepositoryKey(
        self, request: repository_pb2.RotateRepositoryKeyRequest, context: Any
    ) -> repository_pb2.RotateRepositoryKeyResponse:
        epoch = await self._keys.rotate(repository_id(request.parent))
        return repository_pb2.RotateRepositoryKeyResponse(epoch=epoch)

    async def ListRepositoryEpochs(
        self, request: repository_pb2.ListRepositoryEpochsRequest, context: Any
    ) -> repository_pb2.ListRepositoryEpochsResponse:
        epochs = await self._keys.epochs(repository_id(request.parent))
        return repository_pb2.ListRepositoryEpochsResponse(epochs=map(epoch_to_proto, epochs))

    async def RetireRepositoryEpochs(
        self, request: repository_pb2.RetireRepositoryEpochsRequest, context: Any
    ) -> transfer_pb2.Transfer:
        name = repository_id(request.parent)
        through = await self._keys.retirable(name, request.through_epoch)
        transfer = await self._transfers.prune(name, dry_run=False, grace=None, retire_through=through)
        return transfer_to_proto(transfer)
