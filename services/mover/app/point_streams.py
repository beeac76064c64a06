"""Reading what a point holds beside disks."""

import asyncio
from collections.abc import AsyncIterator

from services.chassis.errors import NotFound
from services.mover.app.point_records import read_point
from services.mover.app.shelf import Shelf

PIECE_BYTES = 1 << 20


class PointStreams:
    """One method per verb."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def read(self, repository: str, point_id: str, stream: str) -> AsyncIterator[bytes]:
        """Pieces of PIECE_BYTES at most. Raises NotFound; DataLoss, and what came before is right."""
        registration = await self._shelf.registration(repository)
        opened = await self._shelf.repository(registration.repository_id)
        record = await asyncio.to_thread(opened.get_point, point_id)
        point = read_point(registration.repository_id, record)
        if stream not in {each.name for each in point.streams}:
            raise NotFound(
                f"Restore point {point_id} has no stream {stream[:100]!r} to export.",
                reason="STREAM_MISSING",
                hint=f"It has: {', '.join(each.name for each in point.streams) or 'none'}.",
            )
        pieces = opened.read_stream(point_id, stream)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            for start in range(0, len(piece), PIECE_BYTES):
                yield bytes(piece[start : start + PIECE_BYTES])
