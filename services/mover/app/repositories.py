"""Make, import, look at repositories."""

import asyncio
from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.chassis.errors import AlreadyExists, DataLoss, XenkeepError
from services.mover.app.point_records import read_point
from services.mover.app.shelf import Shelf
from services.mover.domain.facts import RepositoryAdded
from services.mover.domain.point import Point
from services.mover.domain.repository import (
    Registration,
    RepositoryState,
    RepositoryStatus,
    check_display_name,
)
from services.mover.ports.books import Books
from services.mover.repository import (
    DEFAULT_CHUNK_BYTES,
    FORMAT_VERSION,
    Repository,
    create_repository,
    open_repository,
)


class Repositories:
    """One method per verb."""

    def __init__(self, books: Books, shelf: Shelf, clock: Clock) -> None:
        self._books = books
        self._shelf = shelf
        self._clock = clock

    async def create(
        self, display_name: str, url: str, passphrase: Secret, chunk_bytes: int
    ) -> tuple[RepositoryStatus, str]:
        """Make an empty repository and take it into service; the recovery key is in the answer alone.

        Killed after the repository was written and before it was taken into service: import it with its
        passphrase.
        """
        await self._require_new(display_name, url)
        store = await asyncio.to_thread(self._shelf.store_at, url, create=True)
        made, recovery_key = await asyncio.to_thread(
            create_repository,
            store,
            passphrase.reveal(),
            self._shelf.cache,
            chunk_bytes=chunk_bytes or DEFAULT_CHUNK_BYTES,
        )
        return await self._take(display_name, url, made, passphrase), recovery_key

    async def import_(self, display_name: str, url: str, secret: Secret) -> RepositoryStatus:
        """Take an existing repository into service."""
        await self._require_new(display_name, url)
        opened = await asyncio.to_thread(
            open_repository, self._shelf.store_at(url), secret.reveal(), self._shelf.cache
        )
        return await self._take(display_name, url, opened, secret)

    async def registration(self, name: str) -> Registration:
        """By id or display name; raises NotFound."""
        return await self._shelf.registration(name)

    async def get(self, name: str) -> RepositoryStatus:
        """By id or display name; raises NotFound."""
        return await self._status(await self._shelf.registration(name))

    async def page(self, after: str, size: int) -> Sequence[RepositoryStatus]:
        """By display name, from the one after ``after``."""
        async with self._books.reading() as work:
            found = await work.repositories.page(after, size)
        return [await self._status(registration) for registration in found]

    async def points(self, name: str) -> Sequence[tuple[Point, str]]:
        """What the repository holds, and what is wrong with each point ("" when nothing is known to be)."""
        registration = await self._shelf.registration(name)
        repository = await self._shelf.repository(registration.repository_id)
        return await asyncio.to_thread(_points, registration.repository_id, repository)

    async def _require_new(self, display_name: str, url: str) -> None:
        check_display_name(display_name)
        async with self._books.reading() as work:
            taken = await work.repositories.find(display_name) or await work.repositories.at(url)
        if taken is not None:
            raise AlreadyExists(
                f"{taken.display_name} at {taken.url} is in service already.",
                reason="REPOSITORY_EXISTS",
                hint="Choose another name and place, or use the one there is.",
            )

    async def _take(
        self, display_name: str, url: str, repository: Repository, secret: Secret
    ) -> RepositoryStatus:
        registration = Registration(repository.repository_id, display_name, url, self._clock.now())
        sealed = self._shelf.seal(registration.repository_id, secret)
        try:
            async with self._books.writing() as work:
                await work.repositories.put(registration, sealed)
                await work.tell(RepositoryAdded(registration.repository_id, display_name))
        except XenkeepError:
            await asyncio.to_thread(repository.close)
            raise
        self._shelf.put(registration.repository_id, repository)
        return await self._status(registration)

    async def _status(self, registration: Registration) -> RepositoryStatus:
        try:
            repository = await self._shelf.repository(registration.repository_id)
            figures = await asyncio.to_thread(repository.statistics)
        except XenkeepError as error:
            return RepositoryStatus(registration, RepositoryState.UNAVAILABLE, str(error), 0, 0, 0, 0, 0)
        damaged = repository.damaged_packs()
        return RepositoryStatus(
            registration=registration,
            state=RepositoryState.DAMAGED if damaged else RepositoryState.READY,
            state_message=f"{damaged} packs are damaged; see `xenkeep repo verify`." if damaged else "",
            format_version=FORMAT_VERSION,
            chunk_bytes=repository.chunk_bytes,
            point_count=figures.points,
            stored_bytes=figures.pack_bytes,
            free_bytes=figures.free_bytes or 0,
        )


def _points(repository_id: str, repository: Repository) -> list[tuple[Point, str]]:
    """Points whose object itself cannot be read are left to a verification, which names them."""
    found = []
    for point_id in repository.list_points():
        try:
            point = repository.get_point(point_id)
        except DataLoss:
            continue
        found.append((read_point(repository_id, point), _damage(repository, point_id)))
    return found


def _damage(repository: Repository, point_id: str) -> str:
    if not repository.damaged_packs():
        return ""
    try:
        repository.require_restorable(point_id)
    except DataLoss as error:
        return error.message
    return ""
