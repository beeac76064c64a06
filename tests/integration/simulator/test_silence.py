"""Hosts whose packets vanish: what those who talk to them see, and how it ends."""

import asyncio
import contextlib
import http.client
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.tcp import dying_of_silence, set_options
from services.simulator.failure import XapiFailure
from services.simulator.pool.host import Host
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import Sdk, describe, refusal, running
from tests.support.silence import needs_silence
from tests.support.waiting import PATIENCE_S, until_true

pytestmark = needs_silence

NOTICED_AFTER_S = 2
"""How long the clients here put up with silence."""


@contextlib.asynccontextmanager
async def connected(simulation: Simulation, host: int) -> AsyncIterator[socket.socket]:
    """To the toolstack of a host; it waits for ever, and its kernel for ``NOTICED_AFTER_S``."""
    where = (f"127.0.0.{10 + host}", simulation.pool.description.http_port)
    with socket.create_connection(where, timeout=PATIENCE_S) as connection:
        set_options(connection, dying_of_silence(NOTICED_AFTER_S))
        yield connection


def ask(to: socket.socket) -> int:
    """The status of the answer to a request without a session."""
    body = b'{"jsonrpc": "2.0", "method": "system.listMethods", "params": [], "id": 1}'
    head = f"POST /jsonrpc HTTP/1.1\r\nHost: host\r\nContent-Length: {len(body)}\r\n\r\n"
    to.sendall(head.encode() + body)
    answer = http.client.HTTPResponse(to)
    answer.begin()
    answer.read()
    return answer.status


async def logged_in(simulation: Simulation, host: int) -> Sdk:
    return await Sdk(simulation, host).log_in()


def live(simulation: Simulation, host: Host) -> bool:
    db = simulation.pool.db
    return bool(db.row("host_metrics", db.row("host", host.ref)["metrics"])["live"])


async def test_a_silent_host_neither_refuses_nor_answers_and_connections_end_by_themselves_only(
    three_hosts: Simulation,
) -> None:
    host = three_hosts.pool.host_named("host-2")
    async with connected(three_hosts, 2) as connection:
        assert 200 == await asyncio.to_thread(ask, connection)
        await three_hosts.pool.failures.fall_silent(host, to_its_pool=False)
        with pytest.raises(TimeoutError) as gone:
            await asyncio.to_thread(ask, connection)
        assert "[Errno 110]" in str(gone.value)
    where = ("127.0.0.12", three_hosts.pool.description.https_port)
    with pytest.raises(TimeoutError, match="timed out"):
        await asyncio.to_thread(socket.create_connection, where, 1.0)
    sdk = await logged_in(three_hosts, 1)
    assert live(three_hosts, host)
    assert host.heard
    sdk.close()


async def test_what_was_asked_in_the_silence_is_answered_when_it_ends(three_hosts: Simulation) -> None:
    host = three_hosts.pool.host_named("host-2")
    async with connected(three_hosts, 2) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        await three_hosts.pool.failures.fall_silent(host, to_its_pool=False)
        asking = asyncio.create_task(asyncio.to_thread(ask, connection))
        await asyncio.to_thread(_until_sent_again, connection)
        assert not asking.done()
        await three_hosts.pool.failures.hear(host)
        assert 200 == await asking


def _until_sent_again(connection: socket.socket) -> None:
    while not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[2]:  # tcpi_retransmits
        pass


async def test_a_host_without_power_is_silent_until_it_boots_and_then_knows_no_connection(
    three_hosts: Simulation,
) -> None:
    host = three_hosts.pool.host_named("host-2")
    async with connected(three_hosts, 2) as connection:
        assert 200 == await asyncio.to_thread(ask, connection)
        await three_hosts.pool.failures.kill(host, silently=True)
        assert not host.alive
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        with pytest.raises(XapiFailure, match="HOST_OFFLINE"):
            await three_hosts.pool.failures.hear(host)
        await until_true(lambda: not live(three_hosts, host))
        await three_hosts.pool.failures.revive(host)
        connection.settimeout(PATIENCE_S)
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(connection.recv, 1)
    assert live(three_hosts, host)
    assert "HOST_IS_SLAVE" == (await refusal(three_hosts, 2))[0]


async def test_in_a_split_pool_the_half_without_a_coordinator_gets_one_and_the_other_has_to_be_recovered(
    three_hosts: Simulation,
) -> None:
    first, second, third = three_hosts.pool.hosts.values()
    failures = three_hosts.pool.failures
    for host in (first, second):
        await failures.fall_silent(host, to_its_pool=True)
    assert "HOST_STILL_BOOTING" == (await refusal(three_hosts, 3))[0]
    await failures.seize(third)
    sdk = await logged_in(three_hosts, 3)
    assert [] == await sdk.call("pool.recover_slaves")
    await until_true(lambda: not live(three_hosts, second))
    assert not live(three_hosts, first)
    for host in (first, second):
        await failures.hear(host)
    assert ["HOST_IS_SLAVE", "127.0.0.11"] == await refusal(three_hosts, 2)
    assert {first.ref, second.ref} == set(await sdk.call("pool.recover_slaves"))
    assert ["HOST_IS_SLAVE", "127.0.0.13"] == await refusal(three_hosts, 1)
    assert live(three_hosts, first)
    assert live(three_hosts, second)
    sdk.close()


async def test_a_coordinator_that_is_heard_again_in_time_leads_on(three_hosts: Simulation) -> None:
    sdk = await logged_in(three_hosts, 1)
    coordinator = three_hosts.pool.coordinator
    await three_hosts.pool.failures.fall_silent(coordinator, to_its_pool=True)
    assert "HOST_STILL_BOOTING" == (await refusal(three_hosts, 2))[0]
    await three_hosts.pool.failures.hear(coordinator)
    assert "HOST_IS_SLAVE" == (await refusal(three_hosts, 2))[0]
    assert 1 == len(await sdk.call("pool.get_all"))
    sdk.close()


async def test_with_ha_a_host_its_pool_does_not_hear_switches_itself_off(tmp_path: Path) -> None:
    async with running(describe(tmp_path / "pool", 3, ha_enabled=True)) as simulation:
        old = simulation.pool.coordinator
        await simulation.pool.failures.fall_silent(old, to_its_pool=True)
        assert (False, True) == (old.alive, old.silence.fallen)
        new = simulation.pool.coordinator
        assert new is not old
        sdk = await logged_in(simulation, 2)
        assert not live(simulation, old)
        sdk.close()
