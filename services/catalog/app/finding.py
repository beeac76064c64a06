"""Finding what can be restored."""

import re
from collections.abc import Sequence
from datetime import datetime

import structlog

from services.catalog.domain.point import Filter, ProtectedAsset, RestorePoint
from services.catalog.ports import News, Shelf
from services.chassis.errors import FailedPrecondition, NotFound, Unavailable

SHORT_ID = re.compile(r"[0-9a-fA-F-]{8,36}")


HEARING_S = 12.0
"""Longer than an event takes to come again that a killed process held, shorter than who asks waits."""
_log = structlog.get_logger("xenkeep.catalog")


class Finding:
    """Questions; nothing is changed. What was told before a question is part of its answer: who saw a backup
    end finds its restore point."""

    def __init__(self, shelf: Shelf, news: News) -> None:
        self._shelf, self._news = shelf, news

    async def get(self, reference: str) -> RestorePoint:
        """By its id or the first 8 or more characters of it.

        Raises NotFound RESTORE_POINT_NOT_FOUND, FailedPrecondition RESTORE_POINT_AMBIGUOUS, Unavailable
        while it cannot be said that there is none.
        """
        found = await self._known(reference)
        if found is None:
            if not await self._news.caught_up(HEARING_S):
                raise Unavailable(
                    f"Restore point {reference} is not known yet: the catalog has events left to read.",
                    reason="CATALOG_BEHIND",
                    hint="Ask again in a moment.",
                )
            found = await self._known(reference)
        if found is None:
            raise NotFound(
                f"There is no restore point {reference}.",
                reason="RESTORE_POINT_NOT_FOUND",
                hint="List the restore points; a repository that was changed by hand must be synced.",
                metadata={"restore_point": reference},
            )
        return found

    async def _known(self, reference: str) -> RestorePoint | None:
        async with self._shelf.reading() as work:
            found = await work.points.get(reference)
            if found is None and SHORT_ID.fullmatch(reference):
                ids = await work.points.ids_starting_with(reference.lower())
                if len(ids) > 1:
                    raise FailedPrecondition(
                        f"More than one restore point has an id that begins with {reference}.",
                        reason="RESTORE_POINT_AMBIGUOUS",
                        hint="Give more of the id.",
                    )
                found = await work.points.get(ids[0]) if ids else None
        return found

    async def page(
        self, wanted: Filter, before: tuple[datetime, str] | None, size: int
    ) -> Sequence[RestorePoint]:
        """Newest first, those after ``before``; without the bus what is known."""
        if before is None:
            await self._hear()
        async with self._shelf.reading() as work:
            return await work.points.page(wanted, before, size)

    async def assets(self, after: tuple[str, str] | None, size: int) -> Sequence[ProtectedAsset]:
        """By name, those after ``after``; without the bus what is known."""
        if after is None:
            await self._hear()
        async with self._shelf.reading() as work:
            return await work.points.assets(after, size)

    async def _hear(self) -> None:
        try:
            if not await self._news.caught_up(HEARING_S):
                _log.warning("listing what is known; there are events left to read")
        except Unavailable as error:
            _log.warning("listing what is known", reason=error.reason, detail=str(error))
