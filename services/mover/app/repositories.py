"""Make, import, look at repositories."""

import asyncio
from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.chassis.errors import AlreadyExists, DataLoss, XenkeepError
from services.mover.app.known_points import KnownPoints
from services.mover.app.point_records import read_point
from services.mover.app.shelf import Shelf
from services.mover.domain.facts import RepositoryAdded
from services.mover.domain.point import Point, UnreadablePoint
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
    Statistics,
    create_repository,
    open_repository,
)
from services.mover.repository.format.header import DEFAULT_PACK_BYTES, checked_parameters
from services.mover.repository.format.slot import checked_passphrase


class Repositories:
    """One method per verb."""

    def __init__(self, books: Books, shelf: Shelf, clock: Clock) -> None:
        self._books = books
        self._shelf = shelf
        self._clock = clock
        self._taking = asyncio.Lock()

    async def create(
        self, display_name: str, url: str, passphrase: Secret, chunk_bytes: int
    ) -> tuple[RepositoryStatus, str]:
        """Make an empty repository and take it into service; the recovery key is in the answer alone.

        Killed after the repository was written and before it was taken into service: creating it again says
        that it is there; import it with its passphrase.
        """
        async with self._taking:
            url = await self._new_place(display_name, url)
            made, recovery_key = await asyncio.to_thread(self._create, url, passphrase, chunk_bytes)
            registration = await self._take(display_name, url, made, passphrase)
        return await self._status(registration), recovery_key

    async def import_(self, display_name: str, url: str, secret: Secret) -> RepositoryStatus:
        """Take an existing repository into service."""
        async with self._taking:
            url = await self._new_place(display_name, url)
            opened = await asyncio.to_thread(self._import, url, secret)
            registration = await self._take(display_name, url, opened, secret)
        return await self._status(registration)

    async def get(self, name: str) -> RepositoryStatus:
        """By id or display name; raises NotFound."""
        return await self._status(await self._shelf.registration(name))

    async def page(self, after: str, size: int) -> Sequence[RepositoryStatus]:
        """By display name, from the one after ``after``."""
        async with self._books.reading() as work:
            found = await work.repositories.page(after, size)
        return [await self._status(registration) for registration in found]

    async def points(self, name: str) -> Sequence[tuple[Point | UnreadablePoint, str]]:
        """What the repository holds, and what is wrong with each point ("" when nothing is known to be)."""
        registration = await self._shelf.registration(name)
        repository = await self._shelf.repository(registration.repository_id)
        known = await self._shelf.points(registration.repository_id)
        return await asyncio.to_thread(_points, repository, known)

    def _create(self, url: str, passphrase: Secret, chunk_bytes: int) -> tuple[Repository, str]:
        """What cannot be made leaves nothing behind: everything is checked before the directory is made."""
        chunk_bytes = chunk_bytes or DEFAULT_CHUNK_BYTES
        checked_passphrase(passphrase.reveal())
        checked_parameters(chunk_bytes, max(chunk_bytes, DEFAULT_PACK_BYTES))
        store = self._shelf.store(url, create=True)
        return create_repository(store, passphrase.reveal(), self._shelf.cache, chunk_bytes=chunk_bytes)

    def _import(self, url: str, secret: Secret) -> Repository:
        return open_repository(self._shelf.store(url), secret.reveal(), self._shelf.cache)

    async def _new_place(self, display_name: str, url: str) -> str:
        """The URL as it is kept; raises InvalidInput, AlreadyExists."""
        check_display_name(display_name)
        url = self._shelf.places.location(url)
        async with self._books.reading() as work:
            taken = await work.repositories.find(display_name) or await work.repositories.at(url)
        if taken is not None:
            raise AlreadyExists(
                f"{taken.display_name} at {taken.url} is in service already.",
                reason="REPOSITORY_EXISTS",
                hint="Choose another name and place, or use the one there is.",
            )
        return url

    async def _take(
        self, display_name: str, url: str, repository: Repository, secret: Secret
    ) -> Registration:
        registration = Registration(repository.repository_id, display_name, url, self._clock.now())
        sealed = self._shelf.seal(registration.repository_id, secret)
        try:
            async with self._books.writing() as work:
                if (known := await work.repositories.get(registration.repository_id)) is not None:
                    raise _in_service_elsewhere(known, url)
                await work.repositories.put(registration, sealed)
                await work.tell(RepositoryAdded(registration.repository_id, display_name))
        except BaseException:
            await asyncio.to_thread(repository.close)
            raise
        self._shelf.put(repository)
        return registration

    async def _status(self, registration: Registration) -> RepositoryStatus:
        try:
            repository = await self._shelf.repository(registration.repository_id)
            figures, damaged = await asyncio.to_thread(_figures, repository)
        except XenkeepError as error:
            return RepositoryStatus(registration, RepositoryState.UNAVAILABLE, str(error), 0, 0, 0, 0, 0)
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


def _in_service_elsewhere(known: Registration, url: str) -> AlreadyExists:
    return AlreadyExists(
        f"What is at {url} is the repository {known.display_name}, or a copy of it: they have one id,"
        f" {known.repository_id}, which is in service here, at {known.url}.",
        reason="REPOSITORY_EXISTS",
        hint=f"Use {known.display_name}. A copy is taken into service at another site, or read by"
        " `xenkeep restore --repository` without any service.",
    )


def _figures(repository: Repository) -> tuple[Statistics, int]:
    repository.require_there()
    return repository.statistics(), repository.damaged_packs()


def _points(repository: Repository, known: KnownPoints) -> list[tuple[Point | UnreadablePoint, str]]:
    suspicious = repository.damaged_packs() > 0
    found = known.now()
    listed: list[tuple[Point | UnreadablePoint, str]] = [
        (
            read_point(repository.repository_id, point),
            _damage(repository, point.point_id) if suspicious else "",
        )
        for point in found.points
    ]
    for point_id, message in found.unreadable.items():
        listed.append((UnreadablePoint(point_id, repository.repository_id), message))
    return sorted(listed, key=lambda each: each[0].point_id)


def _damage(repository: Repository, point_id: str) -> str:
    try:
        repository.require_restorable(point_id)
    except DataLoss as error:
        return error.message
    return ""
