"""A gRPC service without generated code: four methods, one of each shape, over google.protobuf.Struct."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct

SERVICE = "xenkeep.test.v1.Echo"


class Echo:
    """Override what a test needs; by default everything comes back."""

    async def Ask(self, request: Struct, context: Any) -> Struct:
        return request

    async def Watch(self, request: Struct, context: Any) -> AsyncIterator[Struct]:
        for number in range(3):
            yield struct(number=number)

    async def Collect(self, requests: AsyncIterator[Struct], context: Any) -> Struct:
        return struct(count=len([request async for request in requests]))

    async def Chat(self, requests: AsyncIterator[Struct], context: Any) -> AsyncIterator[Struct]:
        async for request in requests:
            yield request


class EchoStub:
    """What protoc would have made."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def method(kind: str, name: str) -> Any:
            return getattr(channel, kind)(
                f"/{SERVICE}/{name}",
                request_serializer=Struct.SerializeToString,
                response_deserializer=Struct.FromString,
            )

        self.Ask = method("unary_unary", "Ask")
        self.Watch = method("unary_stream", "Watch")
        self.Collect = method("stream_unary", "Collect")
        self.Chat = method("stream_stream", "Chat")


def add_echo(servicer: Any, server: Any) -> None:
    shapes = {
        "Ask": "unary_unary",
        "Watch": "unary_stream",
        "Collect": "stream_unary",
        "Chat": "stream_stream",
    }
    handlers = {
        name: getattr(grpc, f"{shape}_rpc_method_handler")(
            getattr(servicer, name), Struct.FromString, Struct.SerializeToString
        )
        for name, shape in shapes.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


def struct(**fields: Any) -> Struct:
    made = Struct()
    made.update(fields)
    return made
