"""The repositories of this site, opened when needed and kept open."""

import asyncio
from pathlib import Path
from typing import Protocol, Self

from services.chassis.config import Secret
from services.chassis.errors import NotFound
from services.mover.domain.repository import Registration
from services.mover.ports.books import Books, SealedSecret
from services.mover.repository import Repository, Store, open_repository


class Sealing(Protocol):
    """Makes secrets storable."""

    def seal(self, secret: Secret, context: str) -> bytes: ...

    def open(self, sealed: bytes, context: str) -> Secret: ...


class StoreAt(Protocol):
    """The store at a URL; raises InvalidInput for an unusable one. ``create`` makes a missing place."""

    def __call__(self, url: str, *, create: bool = False) -> Store: ...


class Shelf:
    """Opening stretches a passphrase and reads the index, so a repository is opened once a process."""

    def __init__(self, books: Books, sealing: Sealing, store_at: StoreAt, cache: Path) -> None:
        self._books = books
        self._sealing = sealing
        self._store_at = store_at
        self._cache = cache
        self._open: dict[str, Repository] = {}
        self._opening = asyncio.Lock()

    def store_at(self, url: str, *, create: bool = False) -> Store:
        return self._store_at(url, create=create)

    @property
    def cache(self) -> Path:
        """Where the local, disposable indexes of repositories lie."""
        return self._cache

    def seal(self, repository_id: str, secret: Secret) -> SealedSecret:
        return SealedSecret(self._sealing.seal(secret, f"repository {repository_id}"))

    async def registration(self, name: str) -> Registration:
        """By id or display name; raises NotFound."""
        async with self._books.reading() as work:
            found = await work.repositories.get(name) or await work.repositories.find(name)
        if found is None:
            raise NotFound(
                f"There is no repository {name}.",
                reason="REPOSITORY_NOT_FOUND",
                hint="See `xenkeep repo list`; make one with `xenkeep repo create`.",
            )
        return found

    async def repository(self, repository_id: str) -> Repository:
        """Open, or opened before. Raises NotFound, and what opening raises."""
        async with self._opening:
            if repository_id not in self._open:
                registration = await self.registration(repository_id)
                async with self._books.reading() as work:
                    sealed = await work.repositories.secret(repository_id)
                secret = self._sealing.open(sealed.value, f"repository {repository_id}")
                self._open[repository_id] = await asyncio.to_thread(self._open_at, registration.url, secret)
            return self._open[repository_id]

    def put(self, repository_id: str, repository: Repository) -> None:
        """Keep one that was just made or imported."""
        self._open[repository_id] = repository

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._opening:
            for repository in self._open.values():
                await asyncio.to_thread(repository.close)
            self._open.clear()

    def _open_at(self, url: str, secret: Secret) -> Repository:
        return open_repository(self._store_at(url), secret.reveal(), self._cache)
