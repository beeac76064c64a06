"""Calls that nobody simulates, and defects: an error that says so, never a success or a broken connection."""

import pytest

from services.simulator.calls.table import CALLS
from services.simulator.calls.tables import access, hosts, machines, networks, pool, storage
from services.simulator.dispatch.accessors import accessor
from services.simulator.model.schema import load_model
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import Sdk

TABLES = (access, hosts, machines, networks, pool, storage)


async def test_a_call_that_nobody_simulates_says_so_at_once_and_in_its_task(sdk: Sdk) -> None:
    (pool,) = await sdk.call("pool.get_all")
    assert await sdk.refused("host.shutdown_agent") == ["NOT_IMPLEMENTED", "host.shutdown_agent"]
    task = await sdk.wait_for_task(await sdk.call("Async.DR_task.destroy", "OpaqueRef:NULL"))
    assert (task["status"], task["error_info"]) == ("failure", ["NOT_IMPLEMENTED", "DR_task.destroy"])
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    assert await sdk.refused("VM.send_sysrq", vm, "s") == ["NOT_IMPLEMENTED", "send_sysrq"]
    assert await sdk.call("pool.get_uuid", pool)


async def test_a_defect_is_an_internal_error_and_the_connection_goes_on(
    simulation: Simulation, sdk: Sdk, caplog: pytest.LogCaptureFixture
) -> None:
    (pool,) = await sdk.call("pool.get_all")
    host = next(iter(simulation.pool.hosts))
    del simulation.pool.hosts[host].__dict__["certificate"]
    code, text = await sdk.refused("host.get_server_certificate", host)
    assert code == "INTERNAL_ERROR"
    assert "AttributeError" in text
    assert "defect in host.get_server_certificate" in caplog.text
    assert await sdk.call("pool.get_uuid", pool)


def test_a_class_is_in_one_table() -> None:
    classes = [{name.partition(".")[0] for name in table.CALLS} for table in TABLES]
    assert sum(map(len, classes)) == len(set().union(*classes))
    assert sum(len(table.CALLS) for table in TABLES) == len(CALLS)


def test_every_simulated_call_is_one_of_some_release() -> None:
    known = {name for version in ("8.0", "23.1.0", "26.17") for name in load_model(version).messages}
    assert set(CALLS) <= known


@pytest.mark.parametrize(("version", "most"), [("8.0", 17), ("8.2", 17), ("24.19", 17), ("26.17", 37)])
def test_few_calls_are_not_simulated(version: str, most: int) -> None:
    model = load_model(version)
    missing = [
        name
        for name, message in model.messages.items()
        if not message.removed and name not in CALLS and accessor(model.classes[message.cls], message) is None
    ]
    assert len(missing) <= most, missing
