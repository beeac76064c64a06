"""The law of the books, in memory, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from services.chassis.errors import AlreadyExists, NotFound
from services.chassis.sql import Database
from services.chassis.tables import OUTBOX
from services.mover.adapters.memory_books import MemoryBooks
from services.mover.adapters.sql_books import SqlBooks
from services.mover.domain.capture import Failure, Method, Remark
from services.mover.domain.facts import RepositoryAdded, TransferCancelled, TransferRequested
from services.mover.domain.placement import Mode, Placement
from services.mover.domain.point import Damage
from services.mover.domain.repository import Registration
from services.mover.domain.transfer import Backup, Progress, Rebuild, Restore, Result, Spec, Transfer, Verify
from services.mover.ports.books import Books, SealedSecret

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
REGISTRATION = Registration("repository-1", "main", "file:///srv/backup", NOW)
SPECS: Sequence[Spec] = (
    Backup("pools/p/vms/v", "repository-1", Method.NORMAL, full=True, policy="nightly", connections=4),
    Restore("repository-1", "point-1", Placement("pools/p", Mode.ORIGINAL, "sr", "copy", True, True)),
    Verify("repository-1", full=True),
    Rebuild("repository-1"),
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def books(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Books]:
    if request.param == "memory":
        yield MemoryBooks()
        return
    url, service = f"sqlite+aiosqlite:///{tmp_path}/mover.sqlite", "mover"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        service = f"mover-{abs(hash(str(tmp_path)))}"
    async with Database(url, service, "services.mover.migrations") as database:
        yield SqlBooks(database, "home")


async def keep(books: Books, *transfers: Transfer) -> None:
    async with books.writing() as work:
        for transfer in transfers:
            await work.transfers.put(transfer)


async def register(books: Books, *registrations: Registration) -> None:
    async with books.writing() as work:
        for registration in registrations:
            await work.repositories.put(registration, SealedSecret(registration.repository_id.encode()))


async def test_a_repository_is_found_by_id_name_and_place(books: Books) -> None:
    await register(books, REGISTRATION)
    async with books.reading() as look:
        assert REGISTRATION == await look.repositories.get("repository-1")
        assert REGISTRATION == await look.repositories.find("main")
        assert REGISTRATION == await look.repositories.at("file:///srv/backup")
        assert await look.repositories.get("main") is None
        assert SealedSecret(b"repository-1") == await look.repositories.secret("repository-1")
    async with books.writing() as work:
        await work.repositories.change_secret("repository-1", SealedSecret(b"another"))
    async with books.reading() as look:
        assert SealedSecret(b"another") == await look.repositories.secret("repository-1")
        with pytest.raises(NotFound):
            await look.repositories.secret("repository-2")


@pytest.mark.parametrize(
    "second",
    [replace(REGISTRATION, display_name="other"), replace(REGISTRATION, repository_id="repository-2")],
)
async def test_an_id_or_a_name_is_taken_once_and_a_refused_unit_leaves_nothing(
    books: Books, second: Registration
) -> None:
    await register(books, REGISTRATION)
    with pytest.raises(AlreadyExists):
        async with books.writing() as work:
            await work.transfers.put(Transfer("t-1", SPECS[3], NOW))
            await work.repositories.put(second, SealedSecret(b""))
    async with books.reading() as look:
        assert [REGISTRATION] == list(await look.repositories.page("", 10))
        assert await look.transfers.get("t-1") is None


async def test_repositories_are_listed_by_name_in_pages(books: Books) -> None:
    made = [Registration(f"r-{number}", f"name {number}", f"file:///{number}", NOW) for number in (3, 1, 2)]
    await register(books, *made)
    async with books.reading() as look:
        assert ["name 1", "name 2"] == [each.display_name for each in await look.repositories.page("", 2)]
        assert ["name 3"] == [each.display_name for each in await look.repositories.page("name 2", 2)]


@pytest.mark.parametrize("spec", SPECS)
async def test_a_transfer_is_kept_as_it_is_in_every_state(books: Books, spec: Spec) -> None:
    queued = Transfer("t-1", spec, NOW)
    running = queued.taken_up(NOW + timedelta(seconds=1)).moved_on(Progress(10, 4, 3, 2, "reading"))
    result = Result(
        vm="pools/p/vms/new",
        damages=(Damage("packs/x", "gone", ("point-1",)),),
        notices=(Remark("A", "b"),),
        resumed_from_bytes=7,
    )
    states = [
        queued,
        running,
        running.asked_to_stop(),
        running.succeeded(result, NOW + timedelta(seconds=5)),
        running.failed(Failure("Unavailable", "AWAY", "Away.", "Wait."), NOW),
        running.cancelled(NOW),
    ]
    for state in states:
        await keep(books, state)
        async with books.reading() as look:
            assert state == await look.transfers.get("t-1")


async def test_transfers_are_listed_newest_first_in_pages_that_do_not_overlap(books: Books) -> None:
    made = [Transfer(f"t-{number}", SPECS[2], NOW + timedelta(seconds=number // 2)) for number in range(5)]
    await keep(books, *made)
    async with books.reading() as look:
        first = await look.transfers.page("", 2)
        second = await look.transfers.page(first[-1].transfer_id, 2)
        third = await look.transfers.page(second[-1].transfer_id, 2)
    assert ["t-4", "t-3", "t-2", "t-1", "t-0"] == [each.transfer_id for each in (*first, *second, *third)]


async def test_a_refusal_is_remembered_however_often_it_is_said(books: Books) -> None:
    async with books.writing() as work:
        await work.transfers.refuse("t-1")
        await work.transfers.refuse("t-1")
    async with books.reading() as look:
        assert (True, False) == (
            await look.transfers.is_refused("t-1"),
            await look.transfers.is_refused("t-2"),
        )


async def test_a_unit_that_raises_changes_nothing(books: Books) -> None:
    with pytest.raises(ZeroDivisionError):
        async with books.writing() as work:
            await work.transfers.put(Transfer("t-1", SPECS[0], NOW))
            await work.transfers.refuse("t-2")
            await work.tell(TransferCancelled("t-1"))
            raise ZeroDivisionError
    async with books.reading() as look:
        assert await look.transfers.get("t-1") is None
        assert not await look.transfers.is_refused("t-2")
    assert 0 == await told(books)


async def test_what_is_told_waits_with_what_was_changed(books: Books) -> None:
    async with books.writing() as work:
        await work.tell(RepositoryAdded("repository-1", "main"))
        await work.tell(TransferRequested("t-1", SPECS[0]))
    assert 2 == await told(books)


async def told(books: Books) -> int:
    """How many facts wait to be published."""
    if isinstance(books, MemoryBooks):
        return len(books.facts)
    assert isinstance(books, SqlBooks)
    async with books.database.read() as look:
        return len((await look.execute(select(OUTBOX.c.subject))).all())
