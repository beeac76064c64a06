"""The repositories of this site, opened when needed and kept open."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition
from services.mover.app.known_points import KnownPoints
from services.mover.app.registered import registered
from services.mover.app.store_news import StoreNews, Tell
from services.mover.domain.repository import Registration
from services.mover.ports.books import Books, SealedSecret
from services.mover.repository import Repository, Store, open_repository


class Sealing(Protocol):
    """Makes secrets storable."""

    def seal(self, secret: Secret, context: str) -> bytes: ...

    def open(self, sealed: bytes, context: str) -> Secret: ...


class Places(Protocol):
    """Where repositories can be. Both raise InvalidInput for a URL that is no place for one."""

    def location(self, url: str) -> str:
        """The one way to write this URL; asks nobody."""
        ...

    def open(self, url: str, *, create: bool = False, on_notice: Tell | None = None) -> Store:
        """The store at a URL; raises NotFound and FailedPrecondition when there can be none. ``create`` makes
        a missing place; ``on_notice`` is told of what had to be tried again.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Open:
    repository: Repository
    points: KnownPoints


class Shelf:
    """Opening stretches a passphrase and reads the index, so a repository is opened once a process."""

    def __init__(self, books: Books, sealing: Sealing, places: Places, cache: Path) -> None:
        self._books = books
        self._sealing = sealing
        self.places = places
        self._cache = cache
        self._open: dict[str, _Open] = {}
        self._news: defaultdict[str, StoreNews] = defaultdict(StoreNews)
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def cache(self) -> Path:
        """Where the local, disposable indexes of repositories lie."""
        return self._cache

    def seal(self, repository_id: str, secret: Secret) -> SealedSecret:
        return SealedSecret(self._sealing.seal(secret, _context(repository_id)))

    async def secret(self, repository_id: str) -> Secret:
        """What this site opens the repository with; raises NotFound."""
        async with self._books.reading() as work:
            sealed = await work.repositories.secret(repository_id)
        return self._sealing.open(sealed.value, _context(repository_id))

    async def registration(self, name: str) -> Registration:
        """By id or display name; raises NotFound."""
        async with self._books.reading() as work:
            return await registered(work, name)

    async def repository(self, repository_id: str) -> Repository:
        """Open, or opened before. Raises NotFound, and what opening raises."""
        return (await self._opened(repository_id)).repository

    async def points(self, repository_id: str) -> KnownPoints:
        """The points of a repository; raises as ``repository``."""
        return (await self._opened(repository_id)).points

    async def news(self, name: str) -> StoreNews:
        """Of the store of a repository, by id or display name; raises NotFound."""
        return self.news_at((await self.registration(name)).url)

    def news_at(self, url: str) -> StoreNews:
        """Of the store at a URL as it is kept."""
        return self._news[url]

    def store(self, url: str, *, create: bool = False) -> Store:
        """The store at a URL as it is kept, whose news can be heard; raises as ``Places.open``."""
        return self.places.open(url, create=create, on_notice=self.news_at(url).tell)

    def put(self, repository: Repository) -> None:
        """Keep one that was just made or imported."""
        self._open[repository.repository_id] = _Open(repository, KnownPoints(repository))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._open:
            await asyncio.to_thread(self._open.popitem()[1].repository.close)

    async def _opened(self, repository_id: str) -> _Open:
        async with self._opening[repository_id]:
            if repository_id not in self._open:
                registration = await self.registration(repository_id)
                secret = await self.secret(repository_id)
                self.put(await asyncio.to_thread(self._open_at, registration, secret))
            return self._open[repository_id]

    def _open_at(self, registration: Registration, secret: Secret) -> Repository:
        store, known = self.store(registration.url), registration.repository_id
        opened = open_repository(store, secret.reveal(), self._cache, known_id=known)
        if opened.repository_id == registration.repository_id:
            return opened
        opened.close()
        raise FailedPrecondition(
            f"At {registration.url} is another repository than {registration.display_name}.",
            reason="REPOSITORY_REPLACED",
            hint="Is the right file system mounted? Import the other one under a name of its own.",
        )


def _context(repository_id: str) -> str:
    """What a sealed secret belongs to: moved to another row it does not open."""
    return f"repository {repository_id}"
