"""Pools whose hosts fail, each with a service that looks after it, and what befalls the hosts."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from xenkeep.hypervisor.v1 import events_pb2
from xenkeep.simulator.v1 import simulator_pb2 as sim

from tests.support.hypervisor import HypervisorProcess, Lab
from tests.support.nats import NatsServer
from tests.support.pool import SimulatedPool


@asynccontextmanager
async def running_lab(
    nats: NatsServer,
    folder: Path,
    machines: list[dict[str, Any]],
    *,
    hosts: int = 3,
    known: str = "",
    pool: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Lab]:
    """From when the service has heard of the VM ``known``; ``pool`` is for the description of the pool."""
    (folder / "sim").mkdir()
    simulated = SimulatedPool(folder / "sim", hosts=hosts, vms=machines, overrides=dict(pool or {}))
    simulated.start()
    try:
        async with Lab(simulated, HypervisorProcess(nats, folder, environment), nats).running() as running:
            if known:
                await running.event(events_pb2.VmAdded, lambda event: event.vm.display_name == known)
            yield running
    finally:
        simulated.stop()


async def kill(lab: Lab, host: str) -> None:
    """Its kernel says so to whoever is connected."""
    await lab.simulator.KillHost(sim.KillHostRequest(host=host))


async def cut_power(lab: Lab, host: str) -> float:
    """Nothing comes back from it any more; since when (monotonic)."""
    await lab.simulator.KillHost(sim.KillHostRequest(host=host, silently=True))
    return time.monotonic()


async def silence(lab: Lab, host: str, *, to_its_pool: bool) -> float:
    """It runs on, and its packets vanish; since when (monotonic)."""
    await lab.simulator.SilenceHost(sim.SilenceHostRequest(host=host, to_its_pool=to_its_pool))
    return time.monotonic()


async def told(
    lab: Lab, kind: Any, began: float, within_s: float, wanted: Callable[[Any], bool] = lambda _: True
) -> Any:
    """The event, so long after ``began`` (monotonic) at most; how long it took is printed."""
    event = await lab.event(kind, wanted)
    took = time.monotonic() - began
    print(f"{kind.DESCRIPTOR.name}: told after {took:.1f} s")
    assert took < within_s
    return event


def kinds(lab: Lab) -> set[str]:
    """Of all events so far."""
    return {type(event).__name__ for event in lab.events}
