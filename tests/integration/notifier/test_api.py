"""ChannelService as a client meets it: over mutual TLS, with the service's own database and a real peer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xenkeep.notifier.v1 import notifier_pb2 as pb
from xenkeep.notifier.v1.notifier_pb2_grpc import ChannelServiceStub, add_ChannelServiceServicer_to_server

from services.chassis.clock import SystemClock
from services.chassis.errors import AlreadyExists, InvalidInput, NotFound
from services.chassis.ids import RandomIds
from services.chassis.rpc.channel import channel, translated
from services.chassis.rpc.server import RpcServer
from services.chassis.sql import Database
from services.notifier.adapters.channel_files import ChannelFiles
from services.notifier.adapters.sink_table import SinkTable
from services.notifier.adapters.sql_store import SqlStore
from services.notifier.api import ChannelApi
from services.notifier.app.channels import ChannelDesk
from services.notifier.app.deliveries import DeliveryList
from services.notifier.consumers import EVENT_TYPES
from tests.contract.notifier.smtp_peer import smtp_peer
from tests.support.pki import tls_for
from tests.support.ports import free_port

if TYPE_CHECKING:
    from xenkeep.notifier.v1.notifier_pb2_grpc import ChannelServiceAsyncStub


@pytest.fixture
async def stub(tmp_path: Path, channel_files: ChannelFiles) -> AsyncIterator["ChannelServiceAsyncStub"]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(f"sqlite+aiosqlite:///{tmp_path}/notifier.sqlite", "notifier")
        )
        await database.migrate("services.notifier.migrations")
        store = SqlStore(database)
        sinks = SinkTable(channel_files, "keeper")
        desk = ChannelDesk(store, sinks, EVENT_TYPES, RandomIds(), SystemClock())
        api = ChannelApi(desk, DeliveryList(store))
        tls = tls_for(tmp_path / "authority", "notifier")
        server = await stack.enter_async_context(
            RpcServer("127.0.0.1:0", tls, [(add_ChannelServiceServicer_to_server, api, {"admin"})])
        )
        way = await stack.enter_async_context(
            channel(f"127.0.0.1:{server.port}", tls_for(tmp_path / "authority", "admin"))
        )
        yield ChannelServiceStub(way)


def syslog(name: str, port: int = 514) -> pb.CreateChannelRequest:
    sink = pb.SyslogSink(host="127.0.0.1", port=port, transport=pb.SyslogSink.TRANSPORT_TCP)
    return pb.CreateChannelRequest(channel=pb.Channel(name=f"channels/{name}", syslog=sink))


async def test_channels_are_made_listed_in_pages_and_removed(stub: "ChannelServiceAsyncStub") -> None:
    for name in ("c", "a", "b"):
        await stub.CreateChannel(syslog(name))
    first = await stub.ListChannels(pb.ListChannelsRequest(page_size=2))
    second = await stub.ListChannels(pb.ListChannelsRequest(page_token=first.next_page_token))
    names = [each.name for each in [*first.channels, *second.channels]]
    assert names == ["channels/a", "channels/b", "channels/c"]
    assert second.next_page_token == ""
    await stub.DeleteChannel(pb.DeleteChannelRequest(name="channels/b"))
    left = await stub.ListChannels(pb.ListChannelsRequest())
    assert [each.name for each in left.channels] == ["channels/a", "channels/c"]


async def test_wrong_requests_are_answered_with_the_way_out(stub: "ChannelServiceAsyncStub") -> None:
    await stub.CreateChannel(syslog("a"))
    unknown = syslog("b")
    unknown.channel.event_types.append("xenkeep.mover.v1.TransferProgressed")
    with pytest.raises(AlreadyExists), translated("The notifier"):
        await stub.CreateChannel(syslog("a"))
    with pytest.raises(InvalidInput, match="leads nowhere"), translated("The notifier"):
        await stub.CreateChannel(pb.CreateChannelRequest())
    with pytest.raises(InvalidInput, match="TransferProgressed"), translated("The notifier"):
        await stub.CreateChannel(unknown)
    with pytest.raises(NotFound), translated("The notifier"):
        await stub.TestChannel(pb.TestChannelRequest(name="channels/none"))
    with pytest.raises(InvalidInput, match="page token"), translated("The notifier"):
        await stub.ListDeliveries(pb.ListDeliveriesRequest(page_token="rubbish"))


async def test_a_test_reaches_everybody_and_shows_no_secret(
    stub: "ChannelServiceAsyncStub", pki_dir: Path
) -> None:
    async with smtp_peer(pki_dir, login=True) as relay:
        email = pb.EmailSink(
            host="localhost",
            port=relay.port,
            sender="x@example.org",
            recipients=["a@example.org", "b@example.org"],
            username="keeper",
            password_file="password.txt",
            ca_file="ca.pem",
        )
        made = await stub.CreateChannel(
            pb.CreateChannelRequest(channel=pb.Channel(name="channels/mail", email=email))
        )
        delivery = await stub.TestChannel(pb.TestChannelRequest(name="channels/mail"))
        assert len(relay.mails) == 2
    listed = await stub.ListDeliveries(pb.ListDeliveriesRequest(channel="channels/mail"))
    assert delivery.state == pb.Delivery.STATE_DELIVERED
    assert delivery.confirmed is True
    assert delivery.subject == "[OK] channel mail: this is a test; nothing happened"
    assert {each.recipient for each in listed.deliveries} == {"a@example.org", "b@example.org"}
    assert "hunter2" not in f"{made}{delivery}{listed}"


async def test_a_test_of_a_dead_channel_says_why_at_once(stub: "ChannelServiceAsyncStub") -> None:
    await stub.CreateChannel(syslog("dead", free_port()))
    delivery = await stub.TestChannel(pb.TestChannelRequest(name="channels/dead"))
    assert delivery.state == pb.Delivery.STATE_FAILED
    assert delivery.attempts == 1
    assert "cannot be reached" in delivery.message


@pytest.mark.parametrize("file", ["/etc/passwd", "../authority/ca.key", "."])
async def test_a_channel_reads_no_file_outside_its_directory(
    stub: "ChannelServiceAsyncStub", file: str
) -> None:
    email = pb.EmailSink(
        host="localhost",
        port=free_port(),
        sender="x@example.org",
        recipients=["a@example.org"],
        username="keeper",
        password_file=file,
    )
    await stub.CreateChannel(pb.CreateChannelRequest(channel=pb.Channel(name="channels/mail", email=email)))
    delivery = await stub.TestChannel(pb.TestChannelRequest(name="channels/mail"))
    assert delivery.state == pb.Delivery.STATE_FAILED
    assert "channel's file" in delivery.message
    assert "root:" not in delivery.message
