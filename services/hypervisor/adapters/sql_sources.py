"""Backup sources in SQL."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import delete, insert, select, update

from services.chassis.errors import Aborted, NotFound
from services.chassis.sealing import Sealer
from services.chassis.sql import Database, Transaction
from services.hypervisor.adapters.documents import Documents
from services.hypervisor.adapters.sealed_bytes import seal, unseal
from services.hypervisor.adapters.tables import BITMAPS, SOURCES
from services.hypervisor.domain.source import Source, SourceState

_SOURCES = Documents(Source)
T = TypeVar("T")


class SqlSources:
    """``ports.stores.SourceStore``."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def add(self, source: Source) -> Source:
        """See ports.SourceStore."""
        async with self._database.begin() as tx:
            if (there := await _get(tx, source.source_id)) is not None:
                return there
            row = {"source_id": source.source_id, "pool_id": source.pool_id, **_values(source)}
            await tx.execute(insert(SOURCES).values(**row))
        return source

    async def save(self, source: Source) -> None:
        """See ports.SourceStore."""
        async with self._database.begin() as tx:
            await _save(tx, source)

    async def open(self, source: Source, configuration: bytes, bitmaps: dict[str, bytes]) -> None:
        """See ports.SourceStore."""
        id = source.source_id
        sealed = seal(self._sealer, configuration, id)
        rows = [
            {"source_id": id, "disk_id": disk_id, "bitmap": zlib.compress(bitmap)}
            for disk_id, bitmap in bitmaps.items()
        ]
        async with self._database.begin() as tx:
            done = await tx.execute(
                update(SOURCES)
                .where(SOURCES.c.source_id == id, SOURCES.c.state == SourceState.OPENING.value)
                .values(configuration=sealed, **_values(source))
            )
            if not done.rowcount:
                raise Aborted(
                    f"Backup source {id} was closed while it was being opened.",
                    reason="SOURCE_CLOSED",
                    hint="Start a new backup with a new id.",
                )
            if rows:
                await tx.execute(insert(BITMAPS), rows)

    async def note_share(self, source_id: str, share: tuple[tuple[str, int], ...], now: datetime) -> None:
        """See ports.SourceStore."""
        async with self._database.begin() as tx:
            source = await _get(tx, source_id)
            if source is not None and source.state is SourceState.OPEN:
                await _save(tx, replace(source, share=share, share_time=now))

    async def revise(self, source_id: str, revised: Callable[[Source], Source]) -> Source:
        """See ports.SourceStore."""
        async with self._database.begin() as tx:
            source = _there(await _get(tx, source_id), source_id)
            if source.state is not SourceState.CLOSED:
                source = revised(source)
                await _save(tx, source)
        return source

    async def close(self, source: Source) -> None:
        """See ports.SourceStore."""
        async with self._database.begin() as tx:
            await tx.execute(delete(BITMAPS).where(BITMAPS.c.source_id == source.source_id))
            await _save(tx, source)
            await tx.execute(
                update(SOURCES).where(SOURCES.c.source_id == source.source_id).values(configuration=None)
            )

    async def get(self, source_id: str) -> Source | None:
        """See ports.SourceStore."""
        async with self._database.begin() as tx:
            return await _get(tx, source_id)

    async def unfinished(self, pool_id: str) -> tuple[Source, ...]:
        """See ports.SourceStore."""
        query = select(SOURCES.c.document).where(
            SOURCES.c.pool_id == pool_id, SOURCES.c.state != SourceState.CLOSED.value
        )
        async with self._database.read() as reader:
            return tuple(_SOURCES.value(row) for row in (await reader.execute(query)).scalars())

    async def configuration(self, source_id: str) -> bytes:
        """See ports.SourceStore."""
        async with self._database.read() as reader:
            sealed = await reader.scalar(
                select(SOURCES.c.configuration).where(SOURCES.c.source_id == source_id)
            )
        return unseal(self._sealer, _there(sealed, source_id), source_id)

    async def bitmap(self, source_id: str, disk_id: str) -> bytes:
        """See ports.SourceStore."""
        query = select(BITMAPS.c.bitmap).where(BITMAPS.c.source_id == source_id, BITMAPS.c.disk_id == disk_id)
        async with self._database.read() as reader:
            packed = await reader.scalar(query)
        return zlib.decompress(_there(packed, source_id))


async def give_up(tx: Transaction, source_id: str) -> str | None:
    """The transfer of this id failed: the source is to be closed; its pool, or None if nothing is open."""
    source = await _get(tx, source_id)
    if source is None or source.state not in (SourceState.OPENING, SourceState.OPEN):
        return None
    await _save(tx, replace(source, state=SourceState.CLOSING, committed=False))
    return source.pool_id


async def _get(tx: Transaction, source_id: str) -> Source | None:
    document = await tx.scalar(select(SOURCES.c.document).where(SOURCES.c.source_id == source_id))
    return _SOURCES.value(document) if document is not None else None


async def _save(tx: Transaction, source: Source) -> None:
    await tx.execute(update(SOURCES).where(SOURCES.c.source_id == source.source_id).values(**_values(source)))


def _values(source: Source) -> dict[str, str]:
    return {"state": source.state.value, "document": _SOURCES.text(source)}


def _there(data: T | None, source_id: str) -> T:
    if data is None:
        raise NotFound(
            f"Backup source {source_id} is not open.",
            reason="SOURCE_NOT_OPEN",
            hint="Open it, or start a new backup.",
        )
    return data
