"""Finding what can be restored."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from services.catalog.domain.point import Filter, ProtectedAsset, RestorePoint
from services.catalog.ports import ALL, News, Shelf
from services.chassis.errors import FailedPrecondition, NotFound, Unavailable

SHORT_ID = re.compile(r"[0-9a-fA-F-]{8,36}")

_PERHAPS_LESS = "What happened last may be missing from this list."
HEARING_S = 12.0
"""Longer than an event takes to come again that a killed process held, shorter than who asks waits."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lack:
    """Why something may be missing from an answer."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    found: Sequence[T]
    lacking: tuple[Lack, ...] = ()


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
            if unread := await self._unread():
                raise Unavailable(
                    f"Restore point {reference} is not known yet. {unread[0].sentence}",
                    reason=unread[0].reason,
                    hint="Ask again in a moment; see that the movers answer (`xenkeep status`).",
                )
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
    ) -> Listed[RestorePoint]:
        """Newest first, those after ``before``; without the bus what is known."""
        lacking = await self._lacking() if before is None else ()
        async with self._shelf.reading() as work:
            return Listed(await work.points.page(wanted, before, size), lacking)

    async def assets(self, after: tuple[str, str] | None, size: int) -> Listed[ProtectedAsset]:
        """By name, those after ``after``; without the bus what is known."""
        lacking = await self._lacking() if after is None else ()
        async with self._shelf.reading() as work:
            return Listed(await work.points.assets(after, size), lacking)

    async def _lacking(self) -> tuple[Lack, ...]:
        """Waits for what was told before now."""
        behind: tuple[Lack, ...] = ()
        try:
            if not await self._news.caught_up(HEARING_S):
                left = f"{_PERHAPS_LESS} The catalog has events left to read; ask again in a moment."
                behind = (Lack("CATALOG_BEHIND", left),)
        except Unavailable as error:
            behind = (Lack(error.reason, f"{_PERHAPS_LESS} {error.message}"),)
        return behind + await self._unread()

    async def _unread(self) -> tuple[Lack, ...]:
        """Repositories whose points are still to be read: all of them until somebody wished for that."""
        async with self._shelf.reading() as work:
            unread = [(wish.repository_id, wish.activity) for wish in await work.wishes.open()]
            if not await work.wishes.ever(ALL):
                unread.append((ALL, ""))
        return tuple(
            Lack("REPOSITORY_UNREAD", f"{_named(repository_id)} not been read yet. {activity}".strip())
            for repository_id, activity in unread
        )


def _named(repository_id: str) -> str:
    return f"Repository {repository_id} has" if repository_id else "The repositories have"
