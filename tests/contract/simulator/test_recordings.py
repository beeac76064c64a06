"""The simulator answers as a real xapi 23.1 did.

The recordings are in ``golden``; their answers are kept as summaries (``summaries.py``).
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.simulator.pool.description import DiskDescription, VmDescription
from services.simulator.pool.simulation import Simulation
from tests.contract.simulator.replay import Replay, differences, recordings
from tests.integration.simulator.pools import MIB, Sdk, describe, running

POOL = "OpaqueRef:4dd40621-b78b-ca3d-91a4-cfb50ff8698c"
HOST = "OpaqueRef:8874b2bb-fe10-4ed5-359e-35652d2726e4"
SR = "OpaqueRef:3f9c7fe3-4a4b-223c-5031-b00d52a695fc"
SHADOW_MULTIPLIERS = {
    (16, 17): 1.25,
    (40, 41, 42): 1.0,
    (43, 44, 45): 2.5,
    (46, 47, 48): 1.1,
    (49, 50, 51): 100.0,
    (52, 53, 54): 3.3333333333333335,
    (55, 56, 57): 1e10,
    (58, 59, 60): 123456789012345678.0,
}
"""Set between the recorded requests."""
OTHERWISE = {
    57: "RRDs are not simulated",
    58: "the list of services is not simulated",
    66: "a request without a version times out after 10 s in xapi",
    67: "garbage that has three words looks like a request",
    72: "the protocol of the xe CLI is not simulated",
}
"""Of b_http_rpc: recorded answers that the simulator does not give, and why."""


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    vms = [
        VmDescription(
            name="dispatch-vm", memory_bytes=256 * MIB, disks=[DiskDescription(size_bytes=4 * MIB)]
        ),
        VmDescription(name="running", host="host-1", guest_tools=False),
    ]
    async with running(describe(tmp_path / "pool", vms=vms)) as simulation:
        yield simulation


@pytest.fixture
async def replay(simulation: Simulation) -> Replay:
    db = simulation.pool.db
    port = simulation.pool.description.http_port
    assert port is not None
    pool = db.only("pool")
    return Replay("127.0.0.11", port, {POOL: pool.ref, HOST: pool["master"], SR: pool["default_SR"]})


async def session(simulation: Simulation) -> str:
    sdk = await Sdk(simulation).log_in()
    sdk.close()
    return str(sdk.session.handle)


def the_vm(simulation: Simulation) -> str:
    return next(vm.ref for vm in simulation.pool.db.rows("VM") if vm["name_label"] == "dispatch-vm")


def its_disk(simulation: Simulation) -> str:
    return next(
        vdi.ref for vdi in simulation.pool.db.rows("VDI") if vdi["name_label"] == "dispatch-vm disk 0"
    )


async def unlike(replay: Replay, exchanges: list[dict[str, Any]]) -> list[Any]:
    """Everything that the pool answered differently; nothing, that is."""
    wrong: list[Any] = []
    for exchange in exchanges:
        if exchange["request"].get("body_truncated"):
            continue
        answer = await replay.send(exchange)
        replay.learn(exchange, answer)
        if found := differences(exchange, answer):
            wrong.append((exchange["n"], exchange["note"], found))
    return wrong


async def test_sessions(replay: Replay) -> None:
    assert await unlike(replay, recordings("a_session")) == []


async def test_dispatch(replay: Replay, simulation: Simulation) -> None:
    vm = the_vm(simulation)
    replay.names |= {
        "OpaqueRef:c88a98d8-3802-5489-e68b-3531e7df7127": await session(simulation),
        "OpaqueRef:02326a84-69e0-efc6-47f8-99a248d1b14c": vm,
        "fce8046b-f889-376d-6a3e-8185be0482a7": simulation.pool.db.row("VM", vm)["uuid"],
        "OpaqueRef:3ec50afe-3917-3a7b-9b47-81e6705ff107": its_disk(simulation),
    }
    simulation.pool.create("secret", value="s3cret")
    simulation.pool.tasks.create("client task", "left pending", simulation.pool.coordinator.ref)
    assert await unlike(replay, recordings("b_dispatch")) == []


async def test_http(replay: Replay, simulation: Simulation) -> None:
    replay.names["OpaqueRef:6975f874-1922-0c5c-5ec0-16e75e243a79"] = await session(simulation)
    exchanges = [exchange for exchange in recordings("b_http_rpc") if exchange["n"] not in OTHERWISE]
    assert await unlike(replay, exchanges) == []


async def test_json_rpc(replay: Replay, simulation: Simulation) -> None:
    vm = the_vm(simulation)
    replay.names |= {
        "OpaqueRef:0a2c07fd-3450-bebd-1d50-90d3c3c1cd8a": await session(simulation),
        "OpaqueRef:8b3be323-ab46-60b0-1a3a-2f0c59f974a0": vm,
        "OpaqueRef:96b120d0-5130-ce69-14b5-31895a5528d1": its_disk(simulation),
    }
    simulation.pool.db.set("VM", vm, "VCPUs_params", {"a": "b"})
    simulation.pool.messages.create("ALERT", "VM", "", "text", 1)
    simulation.pool.tasks.create("client task", "left pending", simulation.pool.coordinator.ref)
    multipliers = {number: value for numbers, value in SHADOW_MULTIPLIERS.items() for number in numbers}
    for exchange in recordings("c_jsonrpc"):
        if exchange["n"] in multipliers:
            simulation.pool.db.set("VM", vm, "HVM_shadow_multiplier", multipliers[exchange["n"]])
        assert await unlike(replay, [exchange]) == []


async def test_tasks_of_clients(replay: Replay, simulation: Simulation) -> None:
    replay.names["OpaqueRef:0da531d9-92c7-1c43-a061-05093efba6ab"] = await session(simulation)
    assert await unlike(replay, recordings("f_tasks")[:40]) == []


async def test_records_have_the_fields_of_the_recorded_ones(simulation: Simulation) -> None:
    missing = {
        cls: (set(fields) ^ set(simulation.pool.model.classes[cls].fields))
        for cls, fields in recorded_fields().items()
    }
    assert {cls: difference for cls, difference in missing.items() if difference} == {}


def recorded_fields() -> dict[str, list[str]]:
    """Of every class that a recorded answer shows a record of."""
    fields: dict[str, list[str]] = {}
    for exchange in recordings("c_jsonrpc"):
        value = exchange["response"].get("summary")
        result = value.get("json", {}).get("result") if isinstance(value, dict) else None
        method = exchange["request"].get("body", "").partition('"method": "')[2].partition('"')[0]
        cls, _, name = method.partition(".")
        if name == "get_all_records" and isinstance(result, dict) and "records, each of" in result:
            fields[cls] = result["records, each of"]["a record of"]
    return fields
