"""What may be asked of the notifier."""

from typing import Any

import grpc
from xenkeep.notifier.v1 import notifier_pb2 as pb
from xenkeep.notifier.v1 import notifier_pb2_grpc as rpc

from services.chassis.paging import page_size
from services.notifier.app.channels import ChannelDesk
from services.notifier.app.deliveries import DeliveryList
from services.notifier.wire import channel_from_proto, channel_id, channel_to_proto, delivery_to_proto

Context = grpc.aio.ServicerContext[Any, Any]
CHANNELS_PER_PAGE, DELIVERIES_PER_PAGE = 1000, 100


class ChannelApi(rpc.ChannelServiceServicer):
    """ChannelService."""

    def __init__(self, desk: ChannelDesk, deliveries: DeliveryList) -> None:
        self._desk = desk
        self._deliveries = deliveries

    async def CreateChannel(self, request: pb.CreateChannelRequest, context: Context) -> pb.Channel:
        return channel_to_proto(await self._desk.create(channel_from_proto(request.channel)))

    async def ListChannels(
        self, request: pb.ListChannelsRequest, context: Context
    ) -> pb.ListChannelsResponse:
        size = page_size(request.page_size, CHANNELS_PER_PAGE)
        channels, token = await self._desk.page(size, request.page_token)
        return pb.ListChannelsResponse(channels=map(channel_to_proto, channels), next_page_token=token)

    async def DeleteChannel(
        self, request: pb.DeleteChannelRequest, context: Context
    ) -> pb.DeleteChannelResponse:
        await self._desk.delete(channel_id(request.name))
        return pb.DeleteChannelResponse()

    async def TestChannel(self, request: pb.TestChannelRequest, context: Context) -> pb.Delivery:
        return delivery_to_proto(await self._desk.test(channel_id(request.name)))

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: Context
    ) -> pb.ListDeliveriesResponse:
        size = page_size(request.page_size, DELIVERIES_PER_PAGE)
        deliveries, token = await self._deliveries.page(channel_id(request.channel), size, request.page_token)
        return pb.ListDeliveriesResponse(deliveries=map(delivery_to_proto, deliveries), next_page_token=token)
