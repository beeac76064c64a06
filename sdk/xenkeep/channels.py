"""Channels of the notifier."""

from collections.abc import Iterator

from xenkeep.calls import Caller
from xenkeep.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from xenkeep.paging import pages


class Channels:
    """``client.channels``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = notifier_pb2_grpc.ChannelServiceStub(caller.channel)

    def create(self, channel: notifier_pb2.Channel) -> notifier_pb2.Channel:
        """Make a channel; one of that name: Error AlreadyExists."""
        request = notifier_pb2.CreateChannelRequest(channel=channel)
        return self._caller.unary(self._stub.CreateChannel, request)

    def list(self) -> Iterator[notifier_pb2.Channel]:
        """All channels, by name."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListChannels, notifier_pb2.ListChannelsRequest(page_token=token)
            ),
            lambda page: page.channels,
        )

    def remove(self, name: str) -> None:
        """Remove a channel."""
        self._caller.unary(self._stub.DeleteChannel, notifier_pb2.DeleteChannelRequest(name=name))

    def test(self, name: str) -> notifier_pb2.Delivery:
        """Send a test message and wait for the peer's answer."""
        return self._caller.unary(self._stub.TestChannel, notifier_pb2.TestChannelRequest(name=name))

    def deliveries(self, channel: str = "") -> Iterator[notifier_pb2.Delivery]:
        """Deliveries, newest first, of one channel or all."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListDeliveries,
                notifier_pb2.ListDeliveriesRequest(channel=channel, page_token=token),
            ),
            lambda page: page.deliveries,
        )
