"""Making the catalog agree with the repositories."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from services.catalog.app.record import add, learn
from services.catalog.domain.facts import Removed
from services.catalog.domain.health import with_damage
from services.catalog.ports import ALL, Listed, Movers, Repository, Shelf, Wish
from services.chassis.clock import Clock
from services.chassis.errors import NotFound, XenkeepError

BATCH = 200
FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=1)
log = structlog.get_logger("xenkeep.catalog.sync")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Points the repositories hold, those that were new to us, and those they no longer hold."""

    points: int = 0
    added: int = 0
    removed: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        points, added = self.points + other.points, self.added + other.added
        return Outcome(points, added, self.removed + other.removed)


class Syncing:
    """Reads repositories through the movers. Killed at any moment it can simply be done again."""

    def __init__(self, shelf: Shelf, movers: Movers, clock: Clock) -> None:
        self._shelf, self._movers, self._clock = shelf, movers, clock

    async def sync(self, reference: str) -> Outcome:
        """One repository by UUID or name, or all. Of several that fail, the first is raised at the end."""
        if reference:
            return await self._sync(await self._movers.find(reference))
        total, trouble = Outcome(), None
        for repository in await self._movers.repositories():
            try:
                total += await self._sync(repository)
            except XenkeepError as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble
        return total

    async def prepare(self) -> None:
        """A new store wants to read everything: deleting the catalog's database loses nothing."""
        async with self._shelf.writing() as work:
            if not await work.wishes.ever(ALL):
                await work.wishes.put(Wish(ALL, self._clock.now()))

    async def round(self) -> datetime | None:
        """Try every wish that is due; returns when the next one is, None when there is none."""
        async with self._shelf.reading() as work:
            wishes = await work.wishes.open()
        for wish in wishes:
            if wish.try_time <= self._clock.now():
                await self._try(wish)
        async with self._shelf.reading() as work:
            return min((wish.try_time for wish in await work.wishes.open()), default=None)

    async def _try(self, wish: Wish) -> None:
        try:
            follow_ups = await self._grant(wish)
        except XenkeepError as error:
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(wish.tries, 10))
            again = replace(
                wish, try_time=self._clock.now() + wait, tries=wish.tries + 1, activity=error.message
            )
            log.warning("sync waits", repository=wish.repository_id, reason=error.reason, detail=str(error))
            async with self._shelf.writing() as work:
                await work.wishes.put(again)
            return
        async with self._shelf.writing() as work:
            now = self._clock.now()
            for repository in follow_ups:
                await work.wishes.put(Wish(repository.repository_id, now))
            await work.wishes.grant(wish, now)

    async def _grant(self, wish: Wish) -> Sequence[Repository]:
        if wish.repository_id == ALL:
            return await self._movers.repositories()
        try:
            outcome = await self._sync(await self._movers.find(wish.repository_id))
            log.info("synced", repository=wish.repository_id, points=outcome.points, added=outcome.added)
        except NotFound as error:
            log.warning("repository is gone", repository=wish.repository_id, detail=str(error))
        return ()

    async def _sync(self, repository: Repository) -> Outcome:
        # Known before reading: a point committed while we read is missing from the list and still there.
        async with self._shelf.writing() as work:
            now = self._clock.now()
            await work.repositories.put(repository.repository_id, repository.display_name, now)
            known = await work.points.ids_in(repository.repository_id)
        listed = [each async for each in self._movers.points(repository.repository_id)]
        added = 0
        for start in range(0, len(listed), BATCH):
            added += await self._take(listed[start : start + BATCH], now)
        gone = sorted(known - {each.point.point_id for each in listed})
        for start in range(0, len(gone), BATCH):
            await self._remove(gone[start : start + BATCH])
        return Outcome(len(listed), added, len(gone))

    async def _take(self, batch: Sequence[Listed], began: datetime) -> int:
        """What somebody who read the repository later found gone, stays so: ours is the older list."""
        added = 0
        async with self._shelf.writing() as work:
            for each in batch:
                gone = await work.points.remove_time(each.point.point_id)
                if gone is not None and gone > began:
                    continue
                added += await add(work, each.point)
                if each.damage:
                    now = self._clock.now()
                    await learn(
                        work, each.point.point_id, partial(with_damage, moment=now, message=each.damage)
                    )
        return added

    async def _remove(self, batch: Sequence[str]) -> None:
        async with self._shelf.writing() as work:
            for point_id in batch:
                point = await work.points.get(point_id)
                if point is not None:
                    await work.points.remove(point_id, self._clock.now())
                    await work.tell(Removed(point))
