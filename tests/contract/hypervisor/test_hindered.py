"""The law of ports.HinderedStore, on both databases."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from services.chassis.config import Secret
from services.chassis.sealing import Sealer
from services.chassis.sql import Database
from services.chassis.tables import OUTBOX
from services.hypervisor.adapters.sql_hindered import SqlHindered
from services.hypervisor.adapters.sql_pools import SqlPools
from services.hypervisor.domain.care import Hindered
from services.hypervisor.domain.events import SnapshotHindered, SnapshotPossible
from services.hypervisor.domain.pool import Pool, PoolState
from tests.unit.hypervisor.made import vm

POOL = Pool(
    pool_id="pool",
    display_name="Lab",
    product="Fake 1.0",
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
WAITS = (SnapshotHindered(vm(), "SR_SPACE_LOW", "There is no room."),)
MAY_GO_ON = (SnapshotPossible(vm()),)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path}/hypervisor.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    async with Database(url, f"hypervisor-{uuid4().hex}") as opened:
        await opened.migrate("services.hypervisor.migrations")
        yield opened


async def _told(database: Database) -> list[str]:
    async with database.read() as reader:
        rows = await reader.execute(select(OUTBOX.c.subject).order_by(OUTBOX.c.position))
        return [str(subject).rpartition(".")[2] for subject in rows.scalars()]


async def test_who_waits_is_kept_and_told_once(database: Database) -> None:
    store = SqlHindered(database)
    await store.note(POOL, Hindered("vm"), WAITS)
    await store.note(POOL, Hindered("vm", ("disk 1", "disk 2")), WAITS)
    await store.note(POOL, Hindered("another"), ())
    assert (Hindered("another"), Hindered("vm", ("disk 1", "disk 2"))) == await SqlHindered(database).of(
        "pool"
    )
    assert () == await store.of("another pool")
    assert ["SnapshotHindered"] == await _told(database)


async def test_that_the_waiting_is_over_is_told_once(database: Database) -> None:
    store = SqlHindered(database)
    await store.note(POOL, Hindered("vm"), WAITS)
    for _ in range(2):
        await store.forget(POOL, "vm", MAY_GO_ON)
    assert () == await store.of("pool")
    assert ["SnapshotHindered", "SnapshotPossible"] == await _told(database)


async def test_a_pool_that_is_removed_takes_its_own_along(database: Database, tmp_path: Path) -> None:
    store, pools = SqlHindered(database), SqlPools(database, Sealer(tmp_path / "sealing.key"))
    await pools.save(POOL, Secret("secret"))
    await store.note(POOL, Hindered("vm"), WAITS)
    await pools.remove(POOL)
    assert () == await store.of("pool")
