"""Repositories in service, in SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from services.chassis.errors import AlreadyExists, NotFound
from services.chassis.sql import Reader
from services.mover.adapters.tables import REPOSITORIES
from services.mover.domain.repository import Registration
from services.mover.ports.books import SealedSecret

_FIELDS = (
    REPOSITORIES.c.repository_id,
    REPOSITORIES.c.display_name,
    REPOSITORIES.c.url,
    REPOSITORIES.c.create_time,
)


class SqlRepositories:
    """``ports.books.RepositoryBook``."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, repository_id: str) -> Registration | None:
        return await self._one(REPOSITORIES.c.repository_id == repository_id)

    async def find(self, display_name: str) -> Registration | None:
        return await self._one(REPOSITORIES.c.display_name == display_name)

    async def at(self, url: str) -> Registration | None:
        return await self._one(REPOSITORIES.c.url == url)

    async def page(self, after: str, size: int) -> Sequence[Registration]:
        wanted = select(*_FIELDS).where(REPOSITORIES.c.display_name > after)
        rows = await self._reader.execute(wanted.order_by(REPOSITORIES.c.display_name).limit(size))
        return [_registration(row) for row in rows]

    async def put(self, registration: Registration, secret: SealedSecret) -> None:
        try:
            await self._reader.execute(
                insert(REPOSITORIES).values(
                    repository_id=registration.repository_id,
                    display_name=registration.display_name,
                    url=registration.url,
                    create_time=registration.create_time,
                    sealed_secret=secret.value,
                )
            )
        except IntegrityError as error:
            raise AlreadyExists(
                f"The repository {registration.display_name}, or one of that name, is in service already.",
                reason="REPOSITORY_EXISTS",
                hint="See `xenkeep repo list`; choose another name.",
            ) from error

    async def change_secret(self, repository_id: str, secret: SealedSecret) -> None:
        chosen = update(REPOSITORIES).where(REPOSITORIES.c.repository_id == repository_id)
        await self._reader.execute(chosen.values(sealed_secret=secret.value))

    async def secret(self, repository_id: str) -> SealedSecret:
        wanted = select(REPOSITORIES.c.sealed_secret).where(REPOSITORIES.c.repository_id == repository_id)
        value = await self._reader.scalar(wanted)
        if value is None:
            raise NotFound(
                f"There is no repository {repository_id} in service.",
                reason="REPOSITORY_NOT_FOUND",
                hint="See `xenkeep repo list`.",
            )
        return SealedSecret(bytes(value))

    async def _one(self, condition: Any) -> Registration | None:
        row = (await self._reader.execute(select(*_FIELDS).where(condition))).one_or_none()
        return _registration(row) if row else None


def _registration(row: Row[Any]) -> Registration:
    return Registration(row.repository_id, row.display_name, row.url, row.create_time)
