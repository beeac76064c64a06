"""The scheduler started twice on one store: one firing, one run, one transfer per VM."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.scheduler.test_kill import MORTAL, VMS, check_one_good_night, make_due_policy
from tests.integration.scheduler.stack import ServiceProcess, Stack, scheduler_stack
from tests.support.nats import NatsServer


@asynccontextmanager
async def twin_of(stack: Stack, nats: NatsServer, directory: Path) -> AsyncIterator[ServiceProcess]:
    twin = ServiceProcess("scheduler", directory, nats, {})
    twin.env = stack.scheduler.env | {"XENKEEP_LISTEN": twin.address}
    try:
        yield twin
    finally:
        await twin.end()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_two_schedulers_on_one_store_do_everything_once(
    nats_server: NatsServer, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    since = datetime.now(UTC)
    async with scheduler_stack(nats_server, tmp_path, *VMS, start=False) as stack:
        if kind == "postgresql":
            stack.scheduler.env["XENKEEP_DATABASE_URL"] = request.getfixturevalue("empty_database")
        await make_due_policy(stack)
        async with twin_of(stack, nats_server, tmp_path) as twin:
            await stack.scheduler.start()
            await twin.start()
            await check_one_good_night(stack, since)


@pytest.mark.parametrize("die_at", ["before:2", "after:2", "after:4"])
async def test_when_one_of_two_schedulers_is_killed_the_other_goes_on(
    nats_server: NatsServer, tmp_path: Path, fresh_database: str, die_at: str
) -> None:
    since = datetime.now(UTC)
    async with scheduler_stack(nats_server, tmp_path, *VMS, start=False) as stack:
        stack.scheduler.env["XENKEEP_DATABASE_URL"] = fresh_database
        await make_due_policy(stack)
        async with twin_of(stack, nats_server, tmp_path) as twin:
            await twin.start(MORTAL, DIE_AT=die_at)
            assert -signal.SIGKILL == await twin.wait()
            await twin.start(MORTAL, DIE_AT=die_at)
            await stack.scheduler.start(MORTAL)
            await check_one_good_night(stack, since)
