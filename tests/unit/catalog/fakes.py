"""Points and movers in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.catalog.adapters.memory_shelf import MemoryShelf
from services.catalog.domain.point import UNKNOWN_TIME, Asset, Point
from services.catalog.ports import ALL, Listed, Repository, Wish
from services.chassis.errors import NotFound, Unavailable

START = datetime(2026, 1, 1, tzinfo=UTC)


async def read_shelf() -> MemoryShelf:
    """Of a catalog that has read all there is."""
    shelf, wish = MemoryShelf(), Wish(ALL, START)
    async with shelf.writing() as work:
        await work.wishes.put(wish)
        await work.wishes.grant(wish, START)
    return shelf


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def point(
    point_id: str, *, repository: str = "r1", asset: str = "a1", name: str = "web", minute: float = 0
) -> Point:
    return Point(point_id, repository, Asset(asset, name, "p1", "pool"), at(minute), point_id.encode())


def unreadable(point_id: str, *, repository: str = "r1") -> Point:
    return Point(point_id, repository, Asset("", "", "", ""), UNKNOWN_TIME, b"")


@dataclass
class FakeMovers:
    """``held`` are the points per repository."""

    held: dict[str, list[Listed]] = field(default_factory=dict)
    trouble: dict[str, Unavailable] = field(default_factory=dict)
    cut_after: int | None = None

    async def repositories(self) -> Sequence[Repository]:
        self._maybe_raise("")
        return [Repository(repository_id, f"name of {repository_id}") for repository_id in self.held]

    async def find(self, reference: str) -> Repository:
        self._maybe_raise(reference)
        for repository in await self.repositories():
            if reference in (repository.repository_id, repository.display_name):
                return repository
        raise NotFound(f"There is no repository {reference}.", reason="REPOSITORY_NOT_FOUND")

    async def points(self, repository_id: str) -> AsyncIterator[Listed]:
        self._maybe_raise(repository_id)
        for number, listed in enumerate(list(self.held[repository_id])):
            if number == self.cut_after:
                raise down()
            yield listed

    def _maybe_raise(self, what: str) -> None:
        if error := self.trouble.get(what):
            raise error


def down() -> Unavailable:
    return Unavailable("The mover service cannot be reached.", reason="GRPC_UNAVAILABLE")


class Heard:
    """Everything that was told is known, after ``meanwhile``; unless it is ``behind``, or nobody can say."""

    def __init__(
        self,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
        *,
        behind: bool = False,
        away: bool = False,
    ) -> None:
        self._meanwhile, self._behind, self._away = meanwhile, behind, away

    async def caught_up(self, patience_s: float) -> bool:
        if self._away:
            raise Unavailable("The bus is away.", reason="BUS_UNAVAILABLE")
        if self._meanwhile:
            await self._meanwhile()
        return not self._behind
