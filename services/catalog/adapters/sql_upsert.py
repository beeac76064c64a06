"""Put a row in place of the one with its key."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Table, insert, update

from services.chassis.sql import Reader


async def upsert(reader: Reader, table: Table, key: Column[Any], values: Mapping[str, Any]) -> None:
    """Nobody else writes at the same time, so that looking and writing are one step."""
    changed = await reader.execute(update(table).where(key == values[key.name]).values(values))
    if changed.rowcount == 0:
        await reader.execute(insert(table).values(values))
