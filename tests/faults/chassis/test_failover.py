"""PostgreSQL fails over while a transaction is committed: all of it happened or nothing, and work goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import sqlalchemy as sa

from services.chassis.errors import Unavailable
from services.chassis.sql import Database
from services.chassis.tables import OUTBOX
from tests.support.notes import MIGRATIONS, note, notes, removed

CUTS = ("before the commit", "after the commit")


class CutAtCommit:
    """Passes bytes between a client and a server; ``cut`` says when the next COMMIT ends the connection."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.cut = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._server)
        back = asyncio.create_task(_pass(from_server, writer))
        try:
            while data := await reader.read(1 << 16):
                if b"COMMIT" in data and self.cut:
                    back.cancel()
                    await asyncio.wait([back])
                    if self.cut == "after the commit":
                        to_server.write(data)
                        await from_server.read(1 << 16)
                    self.cut = ""
                    return
                to_server.write(data)
        finally:
            back.cancel()
            for end in (writer, to_server):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def cut_at_commit(url: str) -> AsyncIterator[tuple[CutAtCommit, str]]:
    """The proxy, and the URL that leads through it."""
    parsed = sa.make_url(url)
    proxy = CutAtCommit(str(parsed.host), parsed.port or 5432)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield proxy, parsed.set(port=port).render_as_string(hide_password=False)


@pytest.mark.scenario(47)
@pytest.mark.parametrize("cut", CUTS)
async def test_a_commit_that_is_cut_off_is_whole_or_nothing_and_the_next_one_works(
    fresh_database: str, cut: str
) -> None:
    async with cut_at_commit(fresh_database) as (proxy, url), Database(url, "notes") as database:
        await database.migrate(MIGRATIONS)
        proxy.cut = cut
        with pytest.raises(Unavailable):
            async with database.begin() as tx:
                await note(tx, "cut")
                await tx.publish(removed("p1"), subject_id="restorePoints/p1")
        async with database.begin() as tx:
            await note(tx, "next")
            await tx.publish(removed("p2"), subject_id="restorePoints/p2")
        async with database.read() as look:
            kept = await notes(look)
            told = await look.scalar(sa.select(sa.func.count()).select_from(OUTBOX))
        assert kept == (["next"] if cut == "before the commit" else ["cut", "next"])
        assert told == len(kept)
