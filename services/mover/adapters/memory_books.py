"""The books in memory: for tests, and to read what a set of books has to do at the least."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from services.chassis.errors import AlreadyExists, NotFound
from services.mover.domain.facts import Fact
from services.mover.domain.repository import Registration
from services.mover.domain.transfer import Transfer
from services.mover.ports.books import SealedSecret


@dataclass
class _Pages:
    registrations: dict[str, Registration] = field(default_factory=dict)
    secrets: dict[str, SealedSecret] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    facts: tuple[Fact, ...] = ()

    def copy(self) -> "_Pages":
        return replace(
            self,
            registrations=dict(self.registrations),
            secrets=dict(self.secrets),
            transfers=dict(self.transfers),
        )


class _Repositories:
    def __init__(self, pages: _Pages) -> None:
        self._pages = pages

    async def get(self, repository_id: str) -> Registration | None:
        return self._pages.registrations.get(repository_id)

    async def find(self, display_name: str) -> Registration | None:
        found = self._pages.registrations.values()
        return next((each for each in found if each.display_name == display_name), None)

    async def at(self, url: str) -> Registration | None:
        return next((each for each in self._pages.registrations.values() if each.url == url), None)

    async def page(self, after: str, size: int) -> Sequence[Registration]:
        found = [each for each in self._pages.registrations.values() if each.display_name > after]
        return sorted(found, key=lambda each: each.display_name)[:size]

    async def put(self, registration: Registration, secret: SealedSecret) -> None:
        taken = registration.repository_id in self._pages.registrations
        if taken or await self.find(registration.display_name):
            raise AlreadyExists(
                f"The repository {registration.display_name}, or one of that name, is in service already.",
                reason="REPOSITORY_EXISTS",
                hint="See `xenkeep repo list`; choose another name.",
            )
        self._pages.registrations[registration.repository_id] = registration
        self._pages.secrets[registration.repository_id] = secret

    async def change_secret(self, repository_id: str, secret: SealedSecret) -> None:
        self._pages.secrets[repository_id] = secret

    async def secret(self, repository_id: str) -> SealedSecret:
        if repository_id not in self._pages.secrets:
            raise NotFound(
                f"There is no repository {repository_id} in service.",
                reason="REPOSITORY_NOT_FOUND",
                hint="See `xenkeep repo list`.",
            )
        return self._pages.secrets[repository_id]


class _Transfers:
    def __init__(self, pages: _Pages) -> None:
        self._pages = pages

    async def get(self, transfer_id: str) -> Transfer | None:
        return self._pages.transfers.get(transfer_id)

    async def page(self, before: str, size: int) -> Sequence[Transfer]:
        newest_first = sorted(self._pages.transfers.values(), key=_age, reverse=True)
        last = self._pages.transfers.get(before)
        return [each for each in newest_first if last is None or _age(each) < _age(last)][:size]

    async def put(self, transfer: Transfer) -> None:
        self._pages.transfers[transfer.transfer_id] = transfer

    async def refuse(self, transfer_id: str) -> None:
        self._pages.refused |= {transfer_id}

    async def is_refused(self, transfer_id: str) -> bool:
        return transfer_id in self._pages.refused


class _Work:
    def __init__(self, pages: _Pages) -> None:
        self._pages = pages
        self.repositories = _Repositories(pages)
        self.transfers = _Transfers(pages)

    async def tell(self, fact: Fact) -> None:
        self._pages.facts += (fact,)


class MemoryBooks:
    """``ports.books.Books``. ``facts`` are those told so far; ``fail`` is raised by the next commit."""

    def __init__(self) -> None:
        self._pages = _Pages()
        self._writer = asyncio.Lock()
        self.fail: Exception | None = None

    @property
    def facts(self) -> tuple[Fact, ...]:
        return self._pages.facts

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[_Work]:
        async with self._writer:
            pages = self._pages.copy()
            yield _Work(pages)
            if self.fail is not None:
                failure, self.fail = self.fail, None
                raise failure
            self._pages = pages

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[_Work]:
        yield _Work(self._pages.copy())


def _age(transfer: Transfer) -> tuple[object, ...]:
    return (transfer.create_time, transfer.transfer_id)
