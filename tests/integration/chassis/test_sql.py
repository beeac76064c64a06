import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis import sql_engine
from services.chassis.clock import FakeClock
from services.chassis.errors import DataLoss, FailedPrecondition, InvalidInput, Unavailable
from services.chassis.sql import Database
from services.chassis.tables import OUTBOX
from tests.support.notes import MIGRATIONS, NOTES, note, notes, removed, store


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    service = f"notes-{abs(hash(str(tmp_path)))}"
    if request.param == "sqlite":
        made = store(tmp_path, service)
    else:
        made = Database(request.getfixturevalue("postgres_url"), service)
    async with made:
        await made.migrate(MIGRATIONS)
        yield made


async def test_a_change_and_its_announcement_are_committed_together(database: Database) -> None:
    async with database.begin() as tx:
        await note(tx, "kept")
        event_id = await tx.publish(removed("p1"), subject_id="restorePoints/p1")
    async with database.read() as look:
        assert await notes(look) == ["kept"]
        (row,) = (await look.execute(sa.select(OUTBOX))).mappings()
    assert row["message_id"] == event_id
    assert row["subject"] == "xenkeep.catalog.v1.RestorePointRemoved"
    assert row["body"] == b'{"restorePoint":"restorePoints/p1"}'
    assert database.outbox_written.is_set()


async def test_an_exception_takes_back_both(database: Database) -> None:
    with suppress(ZeroDivisionError):
        async with database.begin() as tx:
            await note(tx, "lost")
            await tx.publish(removed("p1"), subject_id="restorePoints/p1")
            raise ZeroDivisionError
    async with database.read() as look:
        assert await notes(look) == []
        assert await look.scalar(sa.select(sa.func.count()).select_from(OUTBOX)) == 0
    assert not database.outbox_written.is_set()


async def test_an_error_of_the_callers_own_passes_as_it_is(database: Database) -> None:
    with pytest.raises(FileNotFoundError):
        async with database.begin():
            raise FileNotFoundError
    with pytest.raises(FileNotFoundError):
        async with database.read():
            raise FileNotFoundError


async def test_writers_take_turns_and_no_increment_is_lost(database: Database) -> None:
    async def append() -> None:
        async with database.begin() as tx:
            count = len(await notes(tx))
            await asyncio.sleep(0)
            await note(tx, str(count))

    await asyncio.gather(*(append() for _ in range(20)))
    async with database.read() as look:
        assert await notes(look) == [str(number) for number in range(20)]


async def test_a_reader_does_not_wait_for_a_writer_and_sees_only_what_is_committed(
    database: Database,
) -> None:
    async with database.begin() as tx:
        await note(tx, "not yet")
        async with database.read() as look:
            assert await notes(look) == []


async def test_a_cancelled_transaction_leaves_nothing_and_blocks_nobody(database: Database) -> None:
    inside = asyncio.Event()

    async def hang() -> None:
        async with database.begin() as tx:
            await note(tx, "half")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    async with database.begin() as tx:
        await note(tx, "whole")
    async with database.read() as look:
        assert await notes(look) == ["whole"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_second_process_waits_for_its_turn_and_is_told_when_that_takes_too_long(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_engine, "BUSY_TIMEOUT_MS", 200)
    service = f"notes-{abs(hash(str(tmp_path)))}"

    def opened() -> Database:
        if kind == "sqlite":
            return store(tmp_path, service)
        return Database(request.getfixturevalue("postgres_url"), service)

    async with opened() as first, opened() as second:
        await first.migrate(MIGRATIONS)
        async with first.begin() as tx:
            await note(tx, "first")
            with pytest.raises(Unavailable) as caught:
                async with second.begin():
                    pass
        assert caught.value.reason == "DATABASE_BUSY"
        async with second.begin() as tx:
            await note(tx, "second")
            assert await notes(tx) == ["first", "second"]


async def test_moments_come_back_aware_and_in_utc(database: Database) -> None:
    moment = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=timezone(timedelta(hours=2)))
    async with database.begin() as tx:
        await tx.execute(sa.insert(NOTES).values(text="then", noted_time=moment))
        (stored,) = (await tx.execute(sa.select(NOTES.c.noted_time))).scalars()
    assert stored == moment
    assert stored.tzinfo == UTC
    with pytest.raises(sa.exc.StatementError):
        async with database.begin() as tx:
            await tx.execute(sa.insert(NOTES).values(text="when?", noted_time=datetime(2026, 1, 1)))  # noqa: DTZ001


async def test_migrating_again_and_at_the_same_time_changes_nothing(database: Database) -> None:
    async with database.begin() as tx:
        await note(tx, "survivor")
    await asyncio.gather(*(database.migrate(MIGRATIONS) for _ in range(3)))
    async with database.read() as look:
        assert await notes(look) == ["survivor"]


async def test_a_database_of_a_newer_release_is_left_alone(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(FailedPrecondition) as caught:
        await database.migrate(MIGRATIONS)
    assert caught.value.reason == "DATABASE_NEWER"


async def test_sqlite_is_set_up_to_survive_the_loss_of_power(tmp_path: Path) -> None:
    async with store(tmp_path) as database, database.read() as look:
        found = {
            pragma: await look.scalar(sa.text(f"PRAGMA {pragma}"))
            for pragma in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize(
    "url", ["sqlite:///x", "sqlite+aiosqlite://", "nonsense", "mysql://root:hunter2@h/d"]
)
def test_a_url_we_cannot_use_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Database(url, "catalog")
    assert caught.value.reason == "DATABASE_URL_INVALID"
    assert "hunter2" not in str(caught.value)


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name}


async def test_leaving_a_store_waits_for_a_connection_that_was_called_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect: Any = sqlite3.connect
    asked, go = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **options: Any) -> Any:
        asked.set()
        go.wait()
        return connect(*arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", slowly)
    before = _threads()
    database = await store(tmp_path).__aenter__()
    migrating = asyncio.create_task(database.migrate(MIGRATIONS))
    await asyncio.to_thread(asked.wait)
    migrating.cancel()
    await asyncio.wait({migrating})
    [thread] = _threads() - before
    leaving = asyncio.create_task(database.__aexit__())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not leaving.done()
    go.set()
    await leaving
    assert not thread.is_alive()


async def test_leaving_a_store_ends_a_connection_that_is_still_in_use(tmp_path: Path) -> None:
    before = _threads()
    async with store(tmp_path) as database:
        reading = database.read()
        await reading.__aenter__()
        assert _threads() - before
    assert not _threads() - before
    await reading.__aexit__(None, None, None)


async def test_a_connection_that_cannot_be_made_leaves_no_thread(tmp_path: Path) -> None:
    before = _threads()
    async with store(tmp_path / "nowhere") as missing:
        with pytest.raises(FailedPrecondition):
            await missing.migrate(MIGRATIONS)
        assert not _threads() - before


@pytest.mark.scenario(47)
async def test_a_damaged_a_missing_and_a_silent_database_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"this is no database" * 1000)
    async with store(tmp_path) as damaged:
        with pytest.raises(DataLoss) as loss:
            await damaged.migrate(MIGRATIONS)
    assert loss.value.reason == "DATABASE_DAMAGED"
    async with store(tmp_path / "nowhere") as missing:
        with pytest.raises(FailedPrecondition) as refused:
            await missing.migrate(MIGRATIONS)
    assert refused.value.reason == "DATABASE_NOT_WRITABLE"
    async with Database(
        "postgresql+asyncpg://u:hunter2@127.0.0.1:1/x", "catalog", clock=FakeClock()
    ) as silent:
        with pytest.raises(Unavailable) as gone:
            await silent.migrate(MIGRATIONS)
    assert gone.value.reason == "DATABASE_UNAVAILABLE"
    assert "hunter2" not in str(gone.value)
