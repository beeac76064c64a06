"""The ledger in SQL: one transaction per unit of work, facts through the outbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis.sql import Database, Reader, Transaction
from services.scheduler.adapters.sql_policies import SqlPolicies
from services.scheduler.adapters.sql_runs import SqlRuns
from services.scheduler.domain.facts import Fact, TransferWanted
from services.scheduler.wire.facts import fact_to_event
from services.scheduler.wire.transfer import transfer_to_proto

WORK_KIND = "transfer"


class SqlWork:
    """``ports.Work`` on a transaction, also on one that a consumer has begun."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.policies = SqlPolicies(transaction)
        self.runs = SqlRuns(transaction)

    async def tell(self, fact: Fact) -> None:
        if isinstance(fact, TransferWanted):
            message = transfer_to_proto(fact.run, fact.task)
            subject = f"transfers/{fact.task.transfer_id}"
            site = fact.run.terms.site
            await self._transaction.enqueue(message, site=site, kind=WORK_KIND, subject_id=subject)
        elif addressed := fact_to_event(fact):
            event, about = addressed
            await self._transaction.publish(event, subject_id=about)


class SqlView:
    """``ports.Work`` for looking only."""

    def __init__(self, reader: Reader) -> None:
        self.policies = SqlPolicies(reader)
        self.runs = SqlRuns(reader)

    async def tell(self, fact: Fact) -> None:
        raise TypeError("a view has nothing to tell")


class SqlLedger:
    """``ports.Ledger``. The database lets one unit write at a time, over all instances."""

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
