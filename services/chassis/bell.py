"""Wakes the workers and watchers of this process after each commit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.chassis.ids import IdSource
from services.chassis.sql import Database, Transaction


class Bell:
    """Hand it to whoever waits: ``with bell.listen() as ear: await ear.next()``."""

    def __init__(self) -> None:
        self._ears: set[BellEar] = set()

    def ring(self) -> None:
        """Something was committed."""
        for ear in self._ears:
            ear.rung.set()

    @contextmanager
    def listen(self) -> Iterator["BellEar"]:
        ear = BellEar()
        self._ears.add(ear)
        try:
            yield ear
        finally:
            self._ears.remove(ear)


class BellEar:
    """One listener; changes since it began to listen are heard."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    async def next(self) -> None:
        """Return at the next change; at once when there was one since the last call."""
        await self.rung.wait()
        self.rung.clear()


class RingingDatabase(Database):
    """Rings after every commit, whoever began the transaction: a use case or a consumer."""

    def __init__(
        self,
        bell: Bell,
        url: Secret | str,
        service: str,
        migrations: str,
        *,
        ids: IdSource | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(url, service, migrations, ids=ids, clock=clock)
        self._bell = bell

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with super().begin() as transaction:
            yield transaction
        self._bell.ring()
