"""Roles, idle sessions, crowds of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from services.chassis.clock import FakeClock
from services.chassis.ids import RandomIds
from services.simulator.database.database import Database
from services.simulator.failure import XapiFailure
from services.simulator.model.schema import load_model
from services.simulator.pool.description import UserDescription
from services.simulator.pool.sessions import (
    ANONYMOUS_ROOTS,
    IDLE_LIMIT,
    PER_ORIGINATOR,
    PER_USER,
    Sessions,
    User,
)
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import PASSWORD, Sdk, describe, running


@pytest.fixture
async def with_reader(tmp_path: Path) -> AsyncIterator[Simulation]:
    reader = UserDescription(name="reader", password="r", role="read-only")
    async with running(describe(tmp_path / "p", users=[UserDescription(password=PASSWORD), reader])) as pool:
        yield pool


async def test_a_role_that_may_only_read_is_refused_the_rest(with_reader: Simulation) -> None:
    sdk = Sdk(with_reader)
    await sdk.log_in("reader", "r")
    (vm,) = await sdk.call("VM.get_by_name_label", "web")
    refusal = await sdk.refused("VM.snapshot", vm, "no")
    assert refusal[:2] == ["RBAC_PERMISSION_DENIED", "vm.snapshot"]
    address = f"https://127.0.0.11:{with_reader.pool.description.https_port}"
    query = {"ref": vm, "session_id": sdk.session.handle}
    async with httpx.AsyncClient(verify=False) as client:
        assert (await client.get(f"{address}/export_metadata", params=query)).status_code == 403
        assert (await client.get(f"{address}/pool/xmldbdump", params=query)).status_code == 403
    sdk.close()


async def test_the_database_of_the_pool_is_dumped_for_its_administrator(with_reader: Simulation) -> None:
    address = f"https://127.0.0.11:{with_reader.pool.description.https_port}"
    async with httpx.AsyncClient(verify=False, auth=("root", PASSWORD)) as client:
        dump = (await client.get(f"{address}/pool/xmldbdump")).text
    assert dump.startswith(
        '<?xml version="1.0" encoding="UTF-8"?>\n<database><manifest><pair key="schema_major_vsn"'
    )
    assert 'name__label="web"' in dump
    assert not with_reader.pool.db.rows("session")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    return Sessions(Database(load_model("23.1.0")), clock, RandomIds(), [User("root", "pw")], 0.0)


async def test_a_session_that_is_idle_for_a_day_is_gone(sessions: Sessions, clock: FakeClock) -> None:
    ref = await sessions.log_in("host", "root", "pw", "")
    await clock.advance((IDLE_LIMIT - timedelta(seconds=2)).total_seconds())
    assert sessions.use(ref) == "pool-admin"
    await clock.advance((IDLE_LIMIT + timedelta(seconds=2)).total_seconds())
    with pytest.raises(XapiFailure, match="SESSION_INVALID"):
        sessions.use(ref)


async def test_a_wrong_password_is_refused_after_a_pause(clock: FakeClock) -> None:
    database = Database(load_model("23.1.0"))
    sessions = Sessions(database, clock, RandomIds(), [User("root", "pw")], refusal_delay_s=2.0)
    trying = asyncio.create_task(sessions.log_in("host", "root", "guess", ""))
    await clock.until_sleeping()
    await clock.advance(1.9)
    assert not trying.done()
    await clock.advance(0.2)
    with pytest.raises(XapiFailure) as refused:
        await trying
    assert refused.value.description == ["SESSION_AUTHENTICATION_FAILED", "root", "Authentication failure"]


async def test_the_oldest_session_of_an_originator_makes_room(sessions: Sessions, clock: FakeClock) -> None:
    first = await sessions.log_in("host", "root", "pw", "me")
    other = await sessions.log_in("host", "root", "pw", "another")
    await clock.advance(2)
    for _ in range(PER_ORIGINATOR):
        last = await sessions.log_in("host", "root", "pw", "me")
    with pytest.raises(XapiFailure, match="SESSION_INVALID"):
        sessions.use(first)
    assert sessions.use(other) == sessions.use(last)


@pytest.mark.parametrize(("user", "limit"), [("root", ANONYMOUS_ROOTS), ("guest", PER_USER)])
async def test_sessions_without_an_originator_make_room_by_user(
    clock: FakeClock, user: str, limit: int
) -> None:
    users = [User("root", "pw"), User("guest", "pw")]
    sessions = Sessions(Database(load_model("23.1.0")), clock, RandomIds(), users, 0.0)
    first = await sessions.log_in("host", user, "pw", "")
    other = await sessions.log_in("host", "guest" if user == "root" else "root", "pw", "")
    await clock.advance(2)
    for _ in range(limit - 1):
        await sessions.log_in("host", user, "pw", "")
    assert sessions.alive(first)
    await sessions.log_in("host", user, "pw", "")
    with pytest.raises(XapiFailure, match="SESSION_INVALID"):
        sessions.alive(first)
    assert sessions.user(other) != user
