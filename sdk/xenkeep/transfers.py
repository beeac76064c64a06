"""Transfers of the movers."""

from collections.abc import Iterator

from xenkeep.calls import Caller
from xenkeep.mover.v1 import transfer_pb2, transfer_pb2_grpc
from xenkeep.paging import pages


class Transfers:
    """``client.transfers``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = transfer_pb2_grpc.TransferServiceStub(caller.channel)

    def get(self, name: str) -> transfer_pb2.Transfer:
        """One transfer."""
        return self._caller.unary(self._stub.GetTransfer, transfer_pb2.GetTransferRequest(name=name))

    def list(self) -> Iterator[transfer_pb2.Transfer]:
        """All transfers, newest first."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListTransfers, transfer_pb2.ListTransfersRequest(page_token=token)
            ),
            lambda page: page.transfers,
        )

    def watch(self, name: str) -> Iterator[transfer_pb2.Transfer]:
        """The transfer whenever it changes, until it ended."""
        return self._caller.stream(self._stub.WatchTransfer, transfer_pb2.WatchTransferRequest(name=name))

    def wait(self, name: str) -> transfer_pb2.Transfer:
        """The transfer when it ended."""
        transfer = self.get(name)
        for transfer in self.watch(name):  # noqa: B007 - the last one is wanted
            pass
        return transfer

    def cancel(self, name: str) -> transfer_pb2.Transfer:
        """Ask a transfer to stop."""
        return self._caller.unary(self._stub.CancelTransfer, transfer_pb2.CancelTransferRequest(name=name))
