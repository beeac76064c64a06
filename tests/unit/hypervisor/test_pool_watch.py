"""A pool is looked at for ever, also while the store has no room to note what was seen."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from services.chassis.clock import FakeClock
from services.chassis.errors import ResourceExhausted, Unavailable
from services.hypervisor.app.pool_watch import PoolWatch
from services.hypervisor.app.pools import nothing_known
from services.hypervisor.domain.events import (
    CoordinatorAgreed,
    CoordinatorContested,
    PoolEvent,
    PoolUnreachable,
)
from services.hypervisor.domain.leadership import Leadership
from services.hypervisor.domain.pool import Picture, Pool, PoolState

POOL = Pool(
    pool_id="pool",
    display_name="Lab",
    product="XCP-ng",
    username="root",
    port=443,
    coordinator="h1",
    members=(),
    hosts=(),
    missing_rights=(),
    state=PoolState.ONLINE,
    state_message="",
    created=datetime(2026, 1, 1, tzinfo=UTC),
)


class Unreachable:
    async def watch(self) -> AsyncIterator[Picture]:
        raise Unavailable("Nobody answers.", reason="POOL_UNREACHABLE")
        yield


class FullOnce:
    """A store without room for the first update."""

    def __init__(self) -> None:
        self.told: list[PoolEvent] = []
        self.tries = 0

    async def update(self, pool: Pool, events: Sequence[PoolEvent] = (), changes: object = None) -> None:
        self.tries += 1
        if self.tries == 1:
            raise ResourceExhausted("The database has no room left.", reason="DATABASE_FULL")
        self.told += events


async def test_trouble_that_could_not_be_noted_is_noted_by_a_later_look() -> None:
    clock, store = FakeClock(), FullOnce()
    watch = PoolWatch(
        POOL,
        nothing_known(POOL),
        cast(Any, Unreachable()),
        cast(Any, store),
        clock,
        *[lambda _: None] * 3,
    )
    looking = asyncio.create_task(watch.run())
    await clock.until_sleeping()
    assert (PoolState.ONLINE, []) == (watch.pool.state, store.told)
    await clock.advance(2)
    assert PoolState.UNREACHABLE == watch.pool.state
    assert [PoolUnreachable] == [type(event) for event in store.told]
    looking.cancel()
    await asyncio.wait({looking})


class Led:
    """A pool that answers once and whose hosts say what a test puts into ``found``."""

    def __init__(self) -> None:
        self.found = Leadership("h1")
        self.sampled: list[bool] = []

    async def watch(self) -> AsyncIterator[Picture]:
        await asyncio.Event().wait()
        yield nothing_known(POOL)

    async def leadership(self, *, sampled: bool = False) -> Leadership:
        self.sampled.append(sampled)
        return self.found


class Roomy:
    """A store that has room."""

    def __init__(self) -> None:
        self.told: list[PoolEvent] = []

    async def update(self, pool: Pool, events: Sequence[PoolEvent] = (), changes: object = None) -> None:
        self.told += events


async def test_a_second_coordinator_is_told_once_and_so_is_its_end_but_a_moment_is_not() -> None:
    clock, store, pool = FakeClock(), Roomy(), Led()
    watch = PoolWatch(
        POOL,
        nothing_known(POOL),
        cast(Any, pool),
        cast(Any, store),
        clock,
        *[lambda _: None] * 3,
    )
    looking = asyncio.create_task(watch.run())
    await clock.until_sleeping()

    pool.found = Leadership("h1", "h1 and h2")
    await clock.advance(10)
    pool.found = Leadership("h1")
    await clock.advance(2)
    assert ([True, False], []) == (pool.sampled, store.told)

    pool.found = Leadership("h1", "h1 and h2")
    await clock.advance(12)
    [told] = store.told
    assert isinstance(told, CoordinatorContested)
    assert "h1 and h2. Backups go on through the one that most hosts follow." == told.message
    pool.found = Leadership("h1", "h1, h2 and h3")
    await clock.advance(10)
    assert ("h1, h2 and h3", 1) == (watch.pool.dispute, len(store.told))
    assert [True, False, False] == pool.sampled[2:], "all are asked as long as they do not agree"

    pool.found = Leadership("h1")
    await clock.advance(10)
    assert (CoordinatorAgreed(), "") == (store.told[-1], watch.pool.dispute)
    looking.cancel()
    await asyncio.wait({looking})
