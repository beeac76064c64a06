"""TransferService."""

from collections.abc import AsyncIterator
from typing import Any

from xenkeep.mover.v1 import transfer_pb2, transfer_pb2_grpc

from services.chassis.paging import page_size
from services.mover.app.transfers import Transfers
from services.mover.domain.names import transfer_id
from services.mover.wire.transfer import transfer_to_proto


class TransferApi(transfer_pb2_grpc.TransferServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    async def GetTransfer(
        self, request: transfer_pb2.GetTransferRequest, context: Any
    ) -> transfer_pb2.Transfer:
        return transfer_to_proto(await self._transfers.get(transfer_id(request.name)))

    async def ListTransfers(
        self, request: transfer_pb2.ListTransfersRequest, context: Any
    ) -> transfer_pb2.ListTransfersResponse:
        size = page_size(request.page_size, 100)
        page = await self._transfers.page(request.page_token, size + 1)
        shown = page[:size]
        return transfer_pb2.ListTransfersResponse(
            transfers=map(transfer_to_proto, shown),
            next_page_token=shown[-1].transfer_id if len(page) > size else "",
        )

    async def CancelTransfer(
        self, request: transfer_pb2.CancelTransferRequest, context: Any
    ) -> transfer_pb2.Transfer:
        return transfer_to_proto(await self._transfers.cancel(transfer_id(request.name)))

    async def WatchTransfer(
        self, request: transfer_pb2.WatchTransferRequest, context: Any
    ) -> AsyncIterator[transfer_pb2.Transfer]:
        async for transfer in self._transfers.watch(transfer_id(request.name)):
            yield transfer_to_proto(transfer)
