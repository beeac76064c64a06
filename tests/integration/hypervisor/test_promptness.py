"""How soon what happens in a pool is told on JetStream, counted from when any client of the pool can know.

Two seconds are promised, each time. They are seconds of a machine with nothing else to do: how slow this one
was meanwhile is measured beside it (``tests.support.pace``), and they become so many times longer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import XenAPI
from google.protobuf.message import Message
from xenkeep.hypervisor.v1 import events_pb2
from xenkeep.simulator.v1 import simulator_pb2

from tests.support.hypervisor import POOL_PATIENCE_S, HypervisorProcess, Lab
from tests.support.nats import NatsServer
from tests.support.pace import Pace, pace
from tests.support.pool import PASSWORD, SimulatedPool, vm

PROMISED_S = 2.0

Look = Callable[[Any], bool]
Wanted = Callable[[Any], bool]


class Promptness:
    """Events of a pool with high availability; ``web`` is protected and runs on host2, ``db`` is off."""

    def __init__(self, lab: Lab, pace: Pace) -> None:
        self.lab = lab
        self.pace = pace

    async def is_told(
        self, kind: type[Message], cause: Awaitable[Any], look: Look, wanted: Wanted, *, host: int = 0
    ) -> None:
        """The event comes in time, counted from when a client of the host sees it by ``look``."""
        self.lab.events.clear()
        began = time.monotonic()
        known = asyncio.create_task(
            asyncio.to_thread(_known_at, f"https://{self.lab.pool.address(host)}", look)
        )
        told = asyncio.create_task(self._told_at(kind, wanted))
        await cause
        await self.judge(kind, began, await told - await known)

    async def judge(self, kind: type[Message], began: float, late_s: float) -> None:
        """Fails when that is more than two seconds of a machine that has nothing else to do."""
        slowness = await self.pace.slowness(began)
        name = kind.DESCRIPTOR.name
        print(f"{name}: told {late_s:.2f} s after it could be known; {slowness:.1f} times slower than it can")
        assert late_s < PROMISED_S * slowness, name

    async def _told_at(self, kind: type[Message], wanted: Wanted) -> float:
        await self.lab.event(kind, wanted)
        return time.monotonic()


@pytest.fixture
async def promptness(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Promptness]:
    (tmp_path / "sim").mkdir()
    machines = [vm("web", host="host2", ha_restart_priority="restart"), vm("db", host=None)]
    pool = SimulatedPool(tmp_path / "sim", vms=machines, overrides={"ha_enabled": True})
    pool.start()
    service = HypervisorProcess(nats_server, tmp_path)
    try:
        async with pace() as beats, Lab(pool, service, nats_server).running() as running:
            await running.event(events_pb2.VmAdded, lambda event: event.vm.display_name == "db")
            yield Promptness(running, beats)
    finally:
        pool.stop()


def _known_at(url: str, look: Look) -> float:
    """The moment from which a client of the pool that does nothing but ask sees it."""
    while True:
        session = XenAPI.Session(url, ignore_ssl=True)
        try:
            session.xenapi.login_with_password("root", PASSWORD)
            while not look(session.xenapi):
                time.sleep(0.02)  # as often as a client may ask; it is the client that is measured against
            return time.monotonic()
        except (XenAPI.Failure, OSError, EOFError):
            time.sleep(0.02)
        finally:
            session("close")()


def _lives(name: str, live: bool) -> Look:
    def look(xenapi: Any) -> bool:
        [host] = xenapi.host.get_by_name_label(name)
        return bool(xenapi.host_metrics.get_live(xenapi.host.get_metrics(host))) is live

    return look


def _leads(name: str) -> Look:
    def look(xenapi: Any) -> bool:
        [pool] = xenapi.pool.get_all()
        return bool(xenapi.host.get_name_label(xenapi.pool.get_master(pool)) == name)

    return look


def _runs_on(vm_name: str, host: str) -> Look:
    def look(xenapi: Any) -> bool:
        [ref] = xenapi.VM.get_by_name_label(vm_name)
        return bool(xenapi.host.get_name_label(xenapi.VM.get_resident_on(ref)) == host)

    return look


def _has(field: str, value: str, name: str = "db") -> Look:
    def look(xenapi: Any) -> bool:
        [ref] = xenapi.VM.get_by_name_label(name)
        return bool(xenapi.VM.get_record(ref)[field] == value)

    return look


def _there(name: str, there: bool) -> Look:
    return lambda xenapi: bool(xenapi.VM.get_by_name_label(name)) is there


async def _migrate(lab: Lab, host: str) -> None:
    [vm_ref] = await lab.session_call("VM.get_by_name_label", "web")
    [target] = await lab.session_call("host.get_by_name_label", host)
    await lab.session_call("VM.pool_migrate", vm_ref, target, {"live": "true"})


async def test_a_vm_that_moves_is_told_in_time(promptness: Promptness) -> None:
    for host in ("host1", "host2", "host1"):

        def wanted(event: Any, host: str = host) -> bool:
            return bool(event.new_host_display_name == host)

        migration = _migrate(promptness.lab, host)
        await promptness.is_told(events_pb2.VmMoved, migration, _runs_on("web", host), wanted)


async def test_vms_that_come_change_start_stop_and_go_are_told_in_time(promptness: Promptness) -> None:
    call, events = promptness.lab.session_call, events_pb2
    [db] = await call("VM.get_by_name_label", "db")
    for number in range(2):
        name, text = f"copy {number}", f"changed {number}"

        def of_copy(event: Any, name: str = name) -> bool:
            return bool(event.vm.display_name == name)

        def of_gone_copy(event: Any, name: str = name) -> bool:
            return bool(event.vm_display_name == name)

        def of_text(event: Any, text: str = text) -> bool:
            return bool(event.vm.description == text)

        def of_db(event: Any) -> bool:
            return bool(event.vm_display_name == "db")

        clone = call("VM.clone", db, name)
        await promptness.is_told(events.VmAdded, clone, _there(name, True), of_copy)
        change = call("VM.set_name_description", db, text)
        await promptness.is_told(events.VmChanged, change, _has("name_description", text), of_text)
        start = call("VM.start", db, False, False)
        await promptness.is_told(events.VmPowerChanged, start, _has("power_state", "Running"), of_db)
        stop = call("VM.hard_shutdown", db)
        await promptness.is_told(events.VmPowerChanged, stop, _has("power_state", "Halted"), of_db)
        [copy] = await call("VM.get_by_name_label", name)
        removal = call("VM.destroy", copy)
        await promptness.is_told(events.VmRemoved, removal, _there(name, False), of_gone_copy)


async def test_a_host_that_fails_and_recovers_is_told_in_time(promptness: Promptness) -> None:
    def of_host(event: Any) -> bool:
        return bool(event.host_display_name == "host2")

    simulator = promptness.lab.simulator
    for _ in range(3):
        kill = simulator.KillHost(simulator_pb2.KillHostRequest(host="host2"))
        await promptness.is_told(events_pb2.HostFailed, kill, _lives("host2", False), of_host)
        revive = simulator.ReviveHost(simulator_pb2.ReviveHostRequest(host="host2"))
        await promptness.is_told(events_pb2.HostRecovered, revive, _lives("host2", True), of_host)


async def test_another_coordinator_is_told_in_time(promptness: Promptness) -> None:
    for number in (1, 0, 2):
        name = f"host{number}"

        def wanted(event: Any, name: str = name) -> bool:
            return bool(event.new_host_display_name == name)

        request = simulator_pb2.DesignateCoordinatorRequest(host=name)
        cause = promptness.lab.simulator.DesignateCoordinator(request)
        changed = events_pb2.CoordinatorChanged
        await promptness.is_told(changed, cause, _leads(name), wanted, host=number)


async def test_a_pool_that_is_gone_and_comes_back_is_told_in_time(promptness: Promptness) -> None:
    """Gone means that it was tried for as long as an outage is bridged."""
    lab, simulator = promptness.lab, promptness.lab.simulator
    for host in ("host2", "host1", "host0"):
        gone = time.monotonic()
        await simulator.KillHost(simulator_pb2.KillHostRequest(host=host))
    await lab.event(events_pb2.PoolUnreachable)
    late_s = time.monotonic() - gone - POOL_PATIENCE_S
    assert late_s > -0.1, "an outage is bridged for as long as was promised"
    await promptness.judge(events_pb2.PoolUnreachable, gone, late_s)
    revive = simulator.ReviveHost(simulator_pb2.ReviveHostRequest(host="host0"))
    await promptness.is_told(events_pb2.PoolReachable, revive, _there("db", True), lambda _: True)
