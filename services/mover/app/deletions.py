"""Delete restore points, and take them back."""

import asyncio
from collections.abc import Sequence

from services.chassis.errors import DataLoss, InvalidInput, NotFound
from services.mover.app.known_points import KnownPoints
from services.mover.app.point_records import read_point
from services.mover.app.shelf import Shelf
from services.mover.domain.facts import PointExpired, PointUndeleted
from services.mover.domain.point import Point
from services.mover.ports.books import Books
from services.mover.repository import Repository, RestorePoint, Trashed

KEPT = 1
"""So many good points of an asset are left, unless somebody says otherwise."""


class Deletions:
    """One method per verb.

    Killed after the repository was changed and before that was told: the same request, made again, tells it.
    So does reading the repository (`xenkeep point sync`).
    """

    def __init__(self, books: Books, shelf: Shelf) -> None:
        self._books = books
        self._shelf = shelf

    async def delete(self, name: str, point_id: str, *, keep: int, purge: bool) -> None:
        """Raises NotFound, and FailedPrecondition when fewer than ``keep`` other good points of the asset
        would be left.
        """
        if keep < 0:
            raise InvalidInput(
                f"{keep} points cannot be kept.", reason="KEEP_INVALID", hint="Ask for 0 or more."
            )
        registration = await self._shelf.registration(name)
        repository = await self._shelf.repository(registration.repository_id)
        points = await self._shelf.points(registration.repository_id)
        recoverable = await asyncio.to_thread(_delete, repository, points, point_id, keep, purge)
        async with self._books.writing() as work:
            await work.tell(
                PointExpired(registration.repository_id, registration.display_name, point_id, recoverable)
            )

    async def undelete(self, name: str, point_id: str) -> Point:
        """Raises NotFound when it is not in the trash."""
        registration = await self._shelf.registration(name)
        repository = await self._shelf.repository(registration.repository_id)
        record = await asyncio.to_thread(_undelete, repository, point_id)
        point = read_point(registration.repository_id, record)
        async with self._books.writing() as work:
            await work.tell(PointUndeleted(point, registration.display_name))
        return point

    async def trash(self, name: str) -> Sequence[Trashed]:
        """Points that can be taken back, the oldest first."""
        registration = await self._shelf.registration(name)
        repository = await self._shelf.repository(registration.repository_id)
        return await asyncio.to_thread(repository.list_trash)


def _delete(repository: Repository, points: KnownPoints, point_id: str, keep: int, purge: bool) -> bool:
    """Whether it can be taken back. One that is in the trash already was deleted by an earlier request."""
    try:
        siblings = _siblings(points, point_id) if keep else []
        repository.delete_point(point_id, keep=keep, purge=purge, siblings=siblings)
    except NotFound:
        if purge or not _is_in_trash(repository, point_id):
            raise
    return _is_in_trash(repository, point_id)


def _siblings(points: KnownPoints, point_id: str) -> list[str]:
    """Other points of the same asset, the newest first, as far as they were read before."""
    known = points.now()
    assets = [point.asset.get("id", "") for point in known.points if point.point_id == point_id]
    return [other.point_id for asset in assets for other in known.of_asset(asset)]


def _undelete(repository: Repository, point_id: str) -> RestorePoint:
    try:
        repository.undelete_point(point_id)
    except NotFound as missing:
        try:
            return repository.get_point(point_id)  # an earlier request took it back
        except (NotFound, DataLoss):
            raise missing from None
    return repository.get_point(point_id)


def _is_in_trash(repository: Repository, point_id: str) -> bool:
    return any(copy.point_id == point_id for copy in repository.list_trash())
