"""Change what is known of a point, and tell what follows."""

from collections.abc import Callable

from services.catalog.domain.facts import facts_of
from services.catalog.domain.health import Health
from services.catalog.domain.point import Point
from services.catalog.ports import Work


async def add(work: Work, point: Point) -> bool:
    """Keep a point; False when as much was known. Facts that came before it are told now.

    One that cannot be read does not replace what is known of it; one that can be read again does.
    """
    before = await work.points.get(point.point_id)
    if before is not None and (before.point.readable or not point.readable):
        return False
    await work.points.add(point)
    added = await work.points.get(point.point_id)
    assert added is not None
    for fact in facts_of(before, added):
        await work.tell(fact)
    return True


async def learn(work: Work, point_id: str, lesson: Callable[[Health], Health]) -> None:
    """Merge a fact about a point, known or not yet."""
    before = await work.points.get(point_id)
    old = before.health if before else await work.points.health(point_id)
    new = lesson(old)
    if new == old:
        return
    await work.points.put_health(point_id, new)
    if before is not None:
        after = await work.points.get(point_id)
        assert after is not None
        for fact in facts_of(before, after):
            await work.tell(fact)
