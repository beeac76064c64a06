"""The store of a service. What changes and what is announced about it are committed together."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from google.protobuf.message import Message
from sqlalchemy import CursorResult, Executable, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chassis import sql_engine
from services.chassis.bus import cloudevents, subjects
from services.chassis.clock import Clock, SystemClock
from services.chassis.config import Secret
from services.chassis.ids import IdSource, RandomIds
from services.chassis.migrations import upgrade
from services.chassis.only_one import OnlyOne
from services.chassis.sql_errors import connecting, sql_errors
from services.chassis.tables import OUTBOX

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Reader:
    """A consistent look at the store."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> CursorResult[Any]:
        """Run a SQLAlchemy Core statement; the result is held in memory. Broken constraints raise
        IntegrityError.
        """
        return await self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Parameters | None = None) -> Any:
        """The first column of the first row, or None."""
        return (await self.execute(statement, parameters)).scalar()


class Transaction(Reader):
    """Changes that happen together or not at all. While it is open nobody else writes: do not call others
    from it.
    """

    def __init__(self, connection: AsyncConnection, source: str, ids: IdSource, clock: Clock) -> None:
        super().__init__(connection)
        self._source = source
        self._ids = ids
        self._clock = clock
        self.wrote_outbox = False

    async def publish(self, message: Message, *, subject_id: str) -> str:
        """Announce a fact when this commits; returns the event's id.

        ``message`` is the event, ``subject_id`` the resource name it is about. Raises InvalidInput
        MESSAGE_TOO_LARGE.
        """
        return await self._send(subjects.of_event(type(message)), message, subject_id)

    async def enqueue(self, message: Message, *, site: str, kind: str, subject_id: str = "") -> str:
        """Hand work to a site's movers when this commits; returns the message's id."""
        return await self._send(subjects.of_work(site, kind), message, subject_id)

    async def _send(self, subject: str, message: Message, subject_id: str) -> str:
        envelope = cloudevents.wrap(
            message, id=self._ids.new(), source=self._source, subject_id=subject_id, time=self._clock.now()
        )
        await self.execute(
            insert(OUTBOX).values(
                message_id=envelope.id,
                subject=subject,
                headers=dict(envelope.headers),
                body=envelope.body,
                created_time=self._clock.now(),
            )
        )
        self.wrote_outbox = True
        return envelope.id


class Database:
    """The store of ``service``: ``async with`` migrates it to the newest revision of the package
    ``migrations``.

    Raises InvalidInput DATABASE_URL_INVALID. Transactions raise Unavailable (DATABASE_BUSY,
    DATABASE_UNAVAILABLE), ResourceExhausted DATABASE_FULL, DataLoss DATABASE_DAMAGED, FailedPrecondition
    DATABASE_REFUSED and DATABASE_NOT_WRITABLE.
    """

    def __init__(
        self,
        url: Secret | str,
        service: str,
        migrations: str | None = None,
        *,
        ids: IdSource | None = None,
        clock: Clock | None = None,
    ) -> None:
        parsed = sql_engine.parse(url.reveal() if isinstance(url, Secret) else url)
        self._service = service
        self._schema = service.replace("-", "_")
        self._migrations = migrations
        self._name = f"The database of {service}"
        self._ids = ids or RandomIds()
        self._clock = clock or SystemClock()
        self._engine, self._close = sql_engine.create_engine(parsed, self._schema)
        self._writer = asyncio.Lock()
        self.outbox_written = asyncio.Event()
        """Set after each commit that left something to publish; the outbox clears it."""

    async def __aenter__(self) -> Self:
        try:
            if self._migrations:
                await self.migrate(self._migrations)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def migrate(self, package: str) -> None:
        """Bring the schema to the newest revision in ``package``; see the module ``migrations``."""
        async with self._writing() as connection:
            await connection.run_sync(upgrade, package)

    def only_one(self) -> OnlyOne:
        """A component that lets one process of the service at a time beyond it."""
        return OnlyOne(self._engine, self._schema, self._name, self._clock)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """A read-only look that does not wait for writers."""
        with sql_errors(self._name):
            async with AsyncExitStack() as stack:
                with connecting(self._name):
                    connection = await stack.enter_async_context(self._engine.connect())
                    await sql_engine.start_reading(connection)
                yield Reader(connection)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """A transaction: committed on leaving, rolled back on an exception."""
        async with self._writing() as connection:
            transaction = Transaction(
                connection, cloudevents.source_of(self._service), self._ids, self._clock
            )
            yield transaction
        if transaction.wrote_outbox:
            self.outbox_written.set()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with sql_errors(self._name):
            async with self._writer, AsyncExitStack() as stack:
                with connecting(self._name):
                    connection = await stack.enter_async_context(self._engine.connect())
                    await sql_engine.start_writing(connection, self._schema)
                yield connection
                await connection.commit()
