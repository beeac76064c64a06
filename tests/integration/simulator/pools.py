"""Pools to test with: real listeners on loopback, in this process, on free ports."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import XenAPI

from services.chassis.clock import Clock, SystemClock
from services.chassis.ids import RandomIds
from services.simulator.nbd.server import NbdServer
from services.simulator.pool.description import (
    DiskDescription,
    HostDescription,
    PoolDescription,
    UserDescription,
    VmDescription,
)
from services.simulator.pool.simulation import Simulation
from tests.support.ports import free_port

PASSWORD = "xenroot"
MIB = 1024**2
T = TypeVar("T")


def describe(data_dir: Path, hosts: int | Sequence[HostDescription] = 1, **values: Any) -> PoolDescription:
    """``hosts`` hosts on 127.0.0.11 and up, and one VM with a disk unless ``vms`` says otherwise."""
    plain = range(1, hosts + 1) if isinstance(hosts, int) else ()
    vm = VmDescription(name="web", host="host-1", disks=[DiskDescription(size_bytes=8 * MIB)])
    defaults: dict[str, Any] = {
        "data_dir": data_dir,
        "https_port": free_port(),
        "http_port": free_port(),
        "nbd_port": free_port(),
        "users": [UserDescription(password=PASSWORD)],
        "hosts": [
            HostDescription(name=f"host-{number}", address=f"127.0.0.{10 + number}", cpus=1)
            for number in plain
        ]
        or hosts,
        "vms": [vm],
        "refusal_delay_s": 0.01,
    }
    return PoolDescription(**defaults | values)


@asynccontextmanager
async def running(description: PoolDescription, clock: Clock | None = None) -> AsyncIterator[Simulation]:
    simulation = await Simulation.start(description, clock or SystemClock(), RandomIds(), NbdServer)
    try:
        yield simulation
    finally:
        await simulation.stop()


class Sdk:
    """The PyPI SDK, used from the event loop."""

    def __init__(self, simulation: Simulation, host: int = 1) -> None:
        address = f"127.0.0.{10 + host}:{simulation.pool.description.https_port}"
        self.session = XenAPI.Session(f"https://{address}", ignore_ssl=True)

    def close(self) -> None:
        self.session("close")()

    async def log_in(self, user: str = "root", password: str = PASSWORD) -> "Sdk":
        await asyncio.to_thread(self.session.xenapi.login_with_password, user, password, "2.20", "tests")
        return self

    async def login_refused(self, password: str = PASSWORD) -> list[str]:
        """The failure of a login that must fail."""
        try:
            await asyncio.to_thread(self.session.xenapi.login_with_password, "root", password)
        except XenAPI.Failure as failure:
            return list(failure.details)
        raise AssertionError("the login was accepted")

    async def call(self, method: str, *params: Any) -> Any:
        """The result of ``method``; raises ``XenAPI.Failure``."""
        return await asyncio.to_thread(self.session.xenapi_request, method, params)

    async def refused(self, method: str, *params: Any) -> list[str]:
        """The failure of a call that must fail."""
        try:
            result = await self.call(method, *params)
        except XenAPI.Failure as failure:
            return list(failure.details)
        raise AssertionError(f"{method} was answered with {result!r}")

    async def wait_for_task(self, task: str) -> dict[str, Any]:
        """The record of a task that has ended, which is destroyed."""
        token = ""
        while True:
            batch = await self.call("event.from", [f"task/{task}"], token, 10.0)
            token = batch["token"]
            for event in batch["events"]:
                if event["snapshot"]["status"] != "pending":
                    await self.call("task.destroy", task)
                    return dict(event["snapshot"])

    async def run(self, method: str, *params: Any) -> str:
        """The result text of an asynchronous call; fails when the task did."""
        record = await self.wait_for_task(await self.call(f"Async.{method}", *params))
        assert record["status"] == "success", record["error_info"]
        return str(record["result"])


async def refusal(simulation: Simulation, host: int) -> list[str]:
    """How a host refuses a login; nothing if it leads."""
    sdk = Sdk(simulation, host)
    try:
        return await sdk.login_refused()
    except AssertionError:
        return []
    finally:
        sdk.close()
