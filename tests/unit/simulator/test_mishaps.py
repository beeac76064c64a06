"""What goes wrong on command, on a clock of the test's own."""

import asyncio

import pytest

from services.chassis.clock import FakeClock
from services.simulator.failure import XapiFailure
from services.simulator.pool.mishaps import Mishaps, Shutdown


@pytest.mark.parametrize(
    ("shutdown", "after_s", "failure"),
    [
        (Shutdown(delay_s=60.0), 60.0, None),
        (Shutdown(delay_s=1200.0), 1200.0, None),
        (Shutdown(delay_s=1201.0), 1200.0, ["VM_SHUTDOWN_TIMEOUT", "ref", "1200."]),
        (Shutdown(refused=True, delay_s=10.0), 10.0, ["VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT", "ref"]),
    ],
)
async def test_a_guest_stops_in_time_or_the_toolstack_gives_up(
    shutdown: Shutdown, after_s: float, failure: list[str] | None
) -> None:
    """xapi: ocaml/xapi/xapi_xenops.ml ``Failed_to_shutdown``."""
    clock = FakeClock()
    mishaps = Mishaps(clock)
    mishaps.set_shutdown("vm", shutdown)
    asked = asyncio.create_task(mishaps.shut_down("ref", "vm", asyncio.Event()))
    await clock.until_sleeping()
    await clock.advance(after_s - 0.5)
    assert not asked.done()
    await clock.advance(1.0)
    if failure is None:
        await asked
        return
    with pytest.raises(XapiFailure) as raised:
        await asked
    assert raised.value.description == failure
