"""The books in the service's database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis.sql import Database
from services.notifier.adapters.sql_books import SqlBooks
from services.notifier.adapters.sql_look import SqlLook


class SqlStore:
    """`Store` over the chassis' database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlBooks]:
        async with self._database.begin() as transaction:
            yield SqlBooks(transaction)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlLook]:
        async with self._database.read() as reader:
            yield SqlLook(reader)
