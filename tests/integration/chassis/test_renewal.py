"""Certificates that are renewed while everything runs."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from google.protobuf.struct_pb2 import Struct
from structlog.testing import capture_logs

from services.chassis import pki
from services.chassis.bus.nats_bus import Bus
from services.chassis.clock import FakeClock, SystemClock
from services.chassis.errors import Unavailable
from services.chassis.rpc.channel import channel, translated
from services.chassis.rpc.server import RpcServer
from services.chassis.tls import Renewals, TlsFiles, nats_context
from tests.support.echo import Echo, EchoStub, add_echo, struct
from tests.support.nats import NatsServer
from tests.support.waiting import PATIENCE_S

LONG_AGO = FakeClock(SystemClock().now() - timedelta(days=1000))
"""What is issued then has expired by now."""


def expired(directory: Path, name: str) -> TlsFiles:
    ca = pki.create_authority(directory)
    return TlsFiles(ca, *pki.issue(directory, name, clock=LONG_AGO))


def valid(directory: Path, name: str) -> TlsFiles:
    return TlsFiles(pki.create_authority(directory), *pki.issue(directory, name))


def renew(directory: Path, name: str) -> None:
    pki.issue(directory, name, renew=True)


def serving(tls: TlsFiles) -> RpcServer:
    return RpcServer("127.0.0.1:0", tls, [(add_echo, Echo(), {"scheduler"})])


async def shown_by(server: RpcServer, caller: TlsFiles) -> int:
    """Serial number of the certificate that the server shows to who connects now."""
    context = nats_context(caller)
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


def serial(tls: TlsFiles) -> int:
    return x509.load_pem_x509_certificate(tls.cert.read_bytes()).serial_number


async def test_a_server_shows_its_new_certificate_without_a_restart(tmp_path: Path) -> None:
    tls, caller = valid(tmp_path, "catalog"), valid(tmp_path, "scheduler")
    async with serving(tls) as server:
        before = await shown_by(server, caller)
        renew(tmp_path, "catalog")

        after = await shown_by(server, caller)

    assert before != after
    assert serial(tls) == after


async def test_a_caller_is_heard_again_when_its_certificate_is_renewed(tmp_path: Path) -> None:
    tls, caller = valid(tmp_path, "catalog"), expired(tmp_path, "scheduler")
    async with serving(tls) as server, channel(f"127.0.0.1:{server.port}", caller) as way:
        stub = EchoStub(way)
        with pytest.raises(Unavailable), translated("The echo"):
            await stub.Ask(struct(a=1))
        renew(tmp_path, "scheduler")

        answer = await stub.Ask(struct(a=1))

    assert struct(a=1) == answer


async def test_a_call_under_way_outlives_the_renewal(tmp_path: Path) -> None:
    tls, caller = valid(tmp_path, "catalog"), valid(tmp_path, "scheduler")
    said: asyncio.Queue[int] = asyncio.Queue()

    async def talk() -> AsyncIterator[Struct]:
        for _ in range(2):
            yield struct(number=await said.get())

    async with serving(tls) as server, channel(f"127.0.0.1:{server.port}", caller) as way:
        stub = EchoStub(way)
        chat = stub.Chat(talk())
        said.put_nowait(1)
        assert struct(number=1) == await chat.read()
        renew(tmp_path, "scheduler")
        assert struct(a=1) == await stub.Ask(struct(a=1))
        said.put_nowait(2)

        rest = await chat.read()

    assert struct(number=2) == rest


async def test_the_bus_connects_when_the_expired_certificate_is_renewed(
    nats_server: NatsServer,
) -> None:
    refused = asyncio.Event()

    class Refused(Bus):
        async def _on_error(self, error: Exception) -> None:
            await super()._on_error(error)
            refused.set()

    bus = Refused([nats_server.url], expired(nats_server.pki, "catalog"), "catalog")
    connecting = asyncio.create_task(bus.__aenter__())
    await refused.wait()
    assert not connecting.done()
    renew(nats_server.pki, "catalog")

    async with asyncio.timeout(PATIENCE_S):
        await connecting

    assert bus.connected.is_set()
    await bus.__aexit__()


def test_a_certificate_that_does_not_fit_is_told_of_and_not_taken(tmp_path: Path) -> None:
    tls = valid(tmp_path, "catalog")
    renewals = Renewals(tls)
    other = valid(tmp_path / "elsewhere", "catalog")
    good = tls.cert.read_bytes()
    tls.cert.write_bytes(other.cert.read_bytes())

    with capture_logs() as logs:
        assert not renewals.renewed()
        assert not renewals.renewed()
    assert ["renewed certificate cannot be used; the old one is kept"] == [each["event"] for each in logs]

    tls.cert.write_bytes(good)
    assert renewals.renewed()
    assert not renewals.renewed()


def test_a_file_that_is_gone_changes_nothing_until_it_is_back(tmp_path: Path) -> None:
    tls = valid(tmp_path, "catalog")
    renewals = Renewals(tls)
    aside = tmp_path / "aside"
    os.rename(tls.cert, aside)
    assert not renewals.renewed()
    os.rename(aside, tls.cert)
    assert renewals.renewed()
