"""The books in SQL: one transaction per unit of work, facts through the outbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis.sql import Database, Reader, Transaction
from services.mover.adapters.sql_repositories import SqlRepositories
from services.mover.adapters.sql_transfers import SqlTransfers
from services.mover.domain.facts import Fact, TransferRequested
from services.mover.wire.facts import fact_to_proto

WORK_KIND = "transfer"


class SqlWork:
    """``ports.books.Work`` on a transaction, also on one that a consumer has begun."""

    def __init__(self, transaction: Transaction, site: str) -> None:
        self._transaction = transaction
        self._site = site
        self.repositories = SqlRepositories(transaction)
        self.transfers = SqlTransfers(transaction)

    async def tell(self, fact: Fact) -> None:
        message, about = fact_to_proto(fact, self._site)
        if isinstance(fact, TransferRequested):
            await self._transaction.enqueue(message, site=self._site, kind=WORK_KIND, subject_id=about)
        else:
            await self._transaction.publish(message, subject_id=about)


class SqlView:
    """``ports.books.Work`` for looking only."""

    def __init__(self, reader: Reader) -> None:
        self.repositories = SqlRepositories(reader)
        self.transfers = SqlTransfers(reader)

    async def tell(self, fact: Fact) -> None:
        raise TypeError("a view has nothing to tell")


class SqlBooks:
    """``ports.books.Books``."""

    def __init__(self, database: Database, site: str) -> None:
        self.database = database
        self._site = site

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[SqlWork]:
        async with self.database.begin() as transaction:
            yield SqlWork(transaction, self._site)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlView]:
        async with self.database.read() as reader:
            yield SqlView(reader)
