"""What the catalog needs from the world."""

from collections.abc import AsyncIterator, Sequence, Set
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.catalog.domain.facts import Fact
from services.catalog.domain.health import Health
from services.catalog.domain.point import Filter, Point, ProtectedAsset, RestorePoint

ALL = ""
"""As a repository to be read: every one."""


class News(Protocol):
    """What the other services tell us."""

    async def caught_up(self, patience_s: float) -> bool:
        """Whether, within ``patience_s``, everything told before this question has reached the projection.

        Raises Unavailable when nobody can say.
        """
        ...


class Points(Protocol):
    """The projection. Health is kept for points that are not known (yet) as well."""

    async def get(self, point_id: str) -> RestorePoint | None: ...

    async def ids_starting_with(self, prefix: str) -> Sequence[str]:
        """At most two of the ids that begin so."""
        ...

    async def ids_in(self, repository_id: str) -> Set[str]:
        """All of a repository."""
        ...

    async def page(
        self, wanted: Filter, before: tuple[datetime, str] | None, size: int
    ) -> Sequence[RestorePoint]:
        """Newest first (snapshot_time, then id, descending), those after ``before``."""
        ...

    async def assets(self, after: tuple[str, str] | None, size: int) -> Sequence[ProtectedAsset]:
        """By newest name, then id, those after ``after``. Points that cannot be read count for none."""
        ...

    async def add(self, point: Point) -> None:
        """Keep a point, in place of what was known of it. One that was removed is no longer so."""
        ...

    async def remove(self, point_id: str, now: datetime) -> None:
        """Forget the point and its health, and remember that it was removed."""
        ...

    async def remove_time(self, point_id: str) -> datetime | None:
        """When it was removed; None when it was not, or has come back."""
        ...

    async def health(self, point_id: str) -> Health: ...

    async def put_health(self, point_id: str, health: Health) -> None: ...


class Repositories(Protocol):
    """Names of the repositories."""

    async def put(self, repository_id: str, display_name: str, moment: datetime) -> None:
        """Its name at ``moment``; an older name does not replace a newer one."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """A repository (or ``ALL``) that is to be read; ``tries`` is how often it could not be."""

    repository_id: str
    try_time: datetime
    tries: int = 0
    activity: str = ""


class Wishes(Protocol):
    """Repositories to be read, until it is done."""

    async def ever(self, repository_id: str) -> bool:
        """Whether this was ever wished, be it granted or not."""
        ...

    async def open(self) -> Sequence[Wish]:
        """Those not granted, the next to be tried first."""
        ...

    async def put(self, wish: Wish) -> None: ...

    async def grant(self, wish: Wish, now: datetime) -> None:
        """It is done; unless the same was wished again since, at another ``try_time``."""
        ...


class Work(Protocol):
    """A unit of work: what is put and told in it happens together, or none of it does."""

    @property
    def points(self) -> Points: ...

    @property
    def repositories(self) -> Repositories: ...

    @property
    def wishes(self) -> Wishes: ...

    async def tell(self, fact: Fact) -> None:
        """Publish the fact: once after the commit, however often we are killed."""
        ...


class Shelf(Protocol):
    """The catalog's store. Units that write run one after the other, over all instances."""

    def writing(self) -> AbstractAsyncContextManager[Work]:
        """Commits at the end; rolls back when the block raises."""
        ...

    def reading(self) -> AbstractAsyncContextManager[Work]:
        """For looking only."""
        ...


class Ear(Protocol):
    """One listener."""

    async def next(self) -> None:
        """Return at the next change; at once when there was one since the last call. May be cancelled."""
        ...


class Changes(Protocol):
    """Wakes whoever waits for a change of the shelf by this process. A hint: it may wake for nothing."""

    def listen(self) -> AbstractContextManager[Ear]:
        """Changes since entering are heard."""
        ...


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository movers know."""

    repository_id: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A point as read from its repository; ``damage`` says what is known to be wrong with it.

    One that cannot be read at all is not ``readable``, and has damage.
    """

    point: Point
    damage: str = ""


class Movers(Protocol):
    """The repositories themselves. All raise Unavailable or DeadlineExceeded when there is no answer."""

    async def repositories(self) -> Sequence[Repository]:
        """All that movers know."""
        ...

    async def find(self, reference: str) -> Repository:
        """By UUID or display name. Raises NotFound."""
        ...

    def points(self, repository_id: str) -> AsyncIterator[Listed]:
        """All points a repository holds. One that ends without raising is complete. Raises NotFound."""
        ...
