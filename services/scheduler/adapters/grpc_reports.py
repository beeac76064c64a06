"""What movers know of transfers."""

from datetime import timedelta

import grpc
from xenkeep.mover.v1 import transfer_pb2, transfer_pb2_grpc

from services.chassis.errors import NotFound
from services.chassis.rpc.channel import translated
from services.scheduler.ports import Outcome, Report
from services.scheduler.wire.times import failure_from_proto

PEER = "The mover service"
_OUTCOMES = {
    transfer_pb2.Transfer.STATE_SUCCEEDED: Outcome.SUCCEEDED,
    transfer_pb2.Transfer.STATE_FAILED: Outcome.FAILED,
    transfer_pb2.Transfer.STATE_CANCELLED: Outcome.CANCELLED,
}


class GrpcReports:
    """``ports.Reports``; every call ends within ``deadline``."""

    def __init__(self, channel: grpc.aio.Channel, deadline: timedelta) -> None:
        self._transfers = transfer_pb2_grpc.TransferServiceStub(channel)
        self._timeout = deadline.total_seconds()

    async def find(self, transfer_id: str) -> Report | None:
        request = transfer_pb2.GetTransferRequest(name=f"transfers/{transfer_id}")
        try:
            with translated(PEER):
                transfer = await self._transfers.GetTransfer(request, timeout=self._timeout)
        except NotFound:
            return None
        outcome = _OUTCOMES.get(transfer.state, Outcome.UNDER_WAY)
        failure = failure_from_proto(transfer.failure) if outcome is Outcome.FAILED else None
        return Report(outcome, transfer.result.SerializeToString(deterministic=True), failure)
