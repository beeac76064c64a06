"""One process of a service at a time, where two would do harm."""

import asyncio
import fcntl
import os
import zlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NoReturn, Self

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from xenkeep import status

from services.chassis.clock import Clock
from services.chassis.errors import FailedPrecondition, Unavailable, XenkeepError
from services.chassis.sql_errors import connecting, sql_errors

CHECK_S = 5.0
"""How often, and how long, the server is asked whether it still knows us. It forgets us later than that
(``tcp_keepalives_*`` of the engine), so that who lost the place has ended before it is given to another."""
_NAMESPACE = 0x786E6B70
_log = structlog.get_logger("xenkeep.program")


class OnlyOne:
    """A component: what is listed after it runs in one process per store.

    On PostgreSQL the others stand by: entering it returns when the process before has ended, however it did;
    the server gives the place up with the session that held it. A process that loses its session ends at
    once, because another one may begin: whoever uses this must survive being killed anyway. On SQLite, whose
    file has one machine, the second refuses: FailedPrecondition SERVICE_RUNS_ALREADY.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        schema: str,
        store: str,
        clock: Clock,
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        """``store`` names the database in errors; ``end`` ends this process without another word."""
        self._engine, self._schema, self._store = engine, schema, store
        self._clock, self._end = clock, end
        self._lost = asyncio.Event()
        self._held = AsyncExitStack()
        self._session: AsyncConnection | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as held:
            if self._engine.dialect.name == "sqlite":
                self._lock_file(held)
            else:
                self._session = await self._take_place(held)
            self._held = held.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    async def run(self) -> None:
        """Watch over the place; returns only by cancellation."""
        while self._session is not None:
            try:
                await self._clock.wait(self._lost.wait(), CHECK_S)
            except TimeoutError:
                if await self._is_known(self._session):
                    continue
            self._give_way()
        await self._lost.wait()

    async def _is_known(self, session: AsyncConnection) -> bool:
        try:
            with sql_errors(self._store):
                await self._clock.wait(session.execute(text("SELECT 1")), CHECK_S)
        except (XenkeepError, TimeoutError):
            return False
        return True

    def _give_way(self) -> NoReturn:
        error = Unavailable(
            f"{self._store} lost the session that made this process the only one; another one may go on now.",
            reason="PLACE_LOST",
            hint="Start it again: it goes on, or stands by. See why the connection to PostgreSQL ended.",
        )
        _log.error("ended", reason=error.reason, error=error.message, hint=error.hint)
        self._end(status.of_kind(error.kind).exit_code)
        raise error

    async def _take_place(self, held: AsyncExitStack) -> AsyncConnection:
        with sql_errors(self._store), connecting(self._store):
            session = await held.enter_async_context(self._engine.connect())
        held.push_async_callback(session.invalidate)  # back in the pool it would keep the place
        await session.execution_options(isolation_level="AUTOCOMMIT")
        driver = (await session.get_raw_connection()).driver_connection
        assert driver is not None
        driver.add_termination_listener(lambda _: self._lost.set())
        place = {"namespace": _NAMESPACE, "schema": zlib.crc32(self._schema.encode()) - (1 << 31)}
        with sql_errors(self._store):
            attempt = text("SELECT pg_try_advisory_lock(:namespace, :schema)")
            if not (await session.execute(attempt, place)).scalar():
                _log.warning("standing by", why="another process of this service works on its database")
                await self._wait_for_place(session, place)
                _log.warning("no longer standing by", why="the process before has ended")
        return session

    async def _wait_for_place(self, session: AsyncConnection, place: dict[str, int]) -> None:
        while True:
            try:
                with sql_errors(self._store):
                    await session.execute(text("SELECT pg_advisory_lock(:namespace, :schema)"), place)
                return
            except Unavailable as error:  # the engine's lock_timeout is for writers
                if error.reason != "DATABASE_BUSY":
                    raise

    def _lock_file(self, held: AsyncExitStack) -> None:
        path = Path(f"{self._engine.url.database}.running")
        file = held.enter_context(path.open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(
                f"{self._store} is in use by another process of this service.",
                reason="SERVICE_RUNS_ALREADY",
                hint="Stop that one, or let both use PostgreSQL (XENKEEP_DATABASE_URL): then one stands by.",
            ) from None
