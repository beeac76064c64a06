"""The shelf in SQL: one transaction per unit of work, facts through the outbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.catalog.adapters.sql_points import SqlPoints
from services.catalog.adapters.sql_repositories import SqlRepositories
from services.catalog.adapters.sql_wishes import SqlWishes
from services.catalog.domain.facts import Fact
from services.catalog.wire.facts import fact_to_event
from services.chassis.sql import Database, Reader, Transaction


class SqlView:
    """``ports.Work`` for looking only."""

    def __init__(self, reader: Reader) -> None:
        self.points = SqlPoints(reader)
        self.repositories = SqlRepositories(reader)
        self.wishes = SqlWishes(reader)

    async def tell(self, fact: Fact) -> None:
        raise TypeError("a view has nothing to tell")


class SqlWork(SqlView):
    """``ports.Work`` on a transaction, also on one that a consumer has begun."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._transaction = transaction

    async def tell(self, fact: Fact) -> None:
        event, about = fact_to_event(fact)
        await self._transaction.publish(event, subject_id=about)


class SqlShelf:
    """``ports.Shelf``. The database lets one unit write at a time, over all instances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[SqlWork]:
        async with self._database.begin() as transaction:
            yield SqlWork(transaction)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlView]:
        async with self._database.read() as reader:
            yield SqlView(reader)
