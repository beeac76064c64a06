"""What movers tell of repositories, merged into the catalog."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from services.catalog.app.record import add, learn
from services.catalog.domain.facts import Removed
from services.catalog.domain.health import Health, with_damage, with_soundness
from services.catalog.domain.point import Point
from services.catalog.ports import Wish, Work


class Projection:
    """Each fact is applied within the unit of work that also remembers that it was. ``moment`` is when the
    mover told it.
    """

    async def committed(self, work: Work, point: Point, repository_name: str, moment: datetime) -> None:
        """A point that was removed since does not come back: only its repository can bring it back."""
        await work.repositories.put(point.repository_id, repository_name, moment)
        if await work.points.remove_time(point.point_id) is None:
            await add(work, point)

    async def expired(self, work: Work, point_id: str, moment: datetime) -> None:
        """Also of a point not met yet: its commit, told later, does not bring it back."""
        point = await work.points.get(point_id)
        await work.points.remove(point_id, moment)
        if point is not None:
            await work.tell(Removed(point))

    async def undeleted(self, work: Work, point: Point, repository_name: str, moment: datetime) -> None:
        """It is back, unless it was removed again since."""
        await work.repositories.put(point.repository_id, repository_name, moment)
        removed = await work.points.remove_time(point.point_id)
        if removed is None or removed <= moment:
            await add(work, point)

    async def damaged(self, work: Work, damages: Mapping[str, str], moment: datetime) -> None:
        """``damages`` says per point what is wrong."""
        for point_id, message in sorted(damages.items()):
            await _learn(work, point_id, partial(with_damage, moment=moment, message=message))

    async def verified(
        self, work: Work, sound: Sequence[str], damaged: Sequence[str], moment: datetime, *, full: bool
    ) -> None:
        for point_id in sound:
            await _learn(work, point_id, partial(with_soundness, moment=moment, full=full))
        for point_id in damaged:
            await _learn(work, point_id, partial(with_damage, moment=moment, message=""))

    async def repository_added(self, work: Work, repository_id: str, name: str, moment: datetime) -> None:
        """What it holds already is to be read."""
        await work.repositories.put(repository_id, name, moment)
        await work.wishes.put(Wish(repository_id, moment))


async def _learn(work: Work, point_id: str, lesson: "partial[Health]") -> None:
    if await work.points.remove_time(point_id) is None:
        await learn(work, point_id, lesson)
