"""Deleted points in their grace period (docs/repository-format.md, section 17)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from services.chassis.errors import AlreadyExists, DataLoss, FailedPrecondition, NotFound
from services.mover.repository.context import Context
from services.mover.repository.format.names import TRASH, parse_numbered, point_name, trash_prefix
from services.mover.repository.leases import remove_leases, take_lease
from services.mover.repository.objects import put_same
from services.mover.repository.points import is_revoked, listed_points, missing_point, read_point
from services.mover.repository.reserve import with_ballast
from services.mover.repository.restorable import known_damage

_DIGITS: Final = 12
_LAST_MOMENT: Final = 253_402_300_799
"""The end of the year 9999: names may say later, dates cannot."""


@dataclass(frozen=True, slots=True)
class Trashed:
    """A copy of a deleted point, and when it was made, by the clock of who made it."""

    name: str
    point_id: str
    deleted_time: datetime


def trashed(context: Context, prefix: str = TRASH) -> Iterator[Trashed]:
    """Every copy; a point that was deleted twice has two."""
    for stored in context.store.list(prefix):
        parsed = parse_numbered(stored.name, TRASH, _DIGITS)
        if parsed is not None:
            moment = datetime.fromtimestamp(min(parsed[1], _LAST_MOMENT), UTC)
            yield Trashed(stored.name, parsed[0], moment)


def delete_point(
    context: Context, point_id: str, *, keep: int, purge: bool, siblings: Sequence[str] = ()
) -> None:
    """Put the point into the trash; ``purge`` deletes it for good, as is one that cannot be read at all.

    Raises NotFound, and FailedPrecondition when fewer than ``keep`` other points of its asset that are not
    known to be damaged would be left. ``siblings`` are ids that are looked at first.
    """
    name = point_name(point_id)
    try:
        data = context.store.get(name)
    except NotFound:
        raise missing_point(point_id) from None
    if is_revoked(context, name):
        raise missing_point(point_id)
    try:
        asset = read_point(context, point_id).asset.get("id", "")
    except DataLoss as error:
        context.on_notice("POINT_UNREADABLE", f"{error.message} It was deleted for good.")
        purge = True
    else:
        _require_others(context, point_id, asset, keep, siblings)
    if not purge:
        copy = f"{trash_prefix(point_id)}{int(context.time.now().timestamp()):0{_DIGITS}d}"
        with_ballast(context, lambda: put_same(context.store, copy, [data]))
    try:
        context.store.delete(name)
    except NotFound:
        return  # somebody else deleted it


def undelete_point(context: Context, point_id: str) -> None:
    """Take a point back out of the trash. Raises NotFound if it is not there, AlreadyExists if it exists."""
    lease = take_lease(context, point_id)
    try:
        copies = sorted(trashed(context, trash_prefix(point_id)), key=lambda copy: copy.deleted_time)
        if not copies:
            raise NotFound(
                f"Point {point_id} is not in the trash.",
                reason="POINT_NOT_IN_TRASH",
                hint="It was never deleted, or a prune has emptied the trash since.",
                metadata={"point": point_id},
            )
        data = context.store.get(copies[-1].name)
        context.objects.get("point", copies[-1].name, point_name(point_id))
        lease.require()
        if is_revoked(context, point_name(point_id)):  # an earlier try died: what it wanted is still here
            context.store.delete(point_name(point_id))
        put_same(context.store, point_name(point_id), [data])
    except BaseException:
        lease.release()
        raise
    for copy in copies:
        _delete(context, copy.name)
    remove_leases(context, point_id)


def require_not_in_trash(context: Context, point_id: str) -> None:
    """Raises AlreadyExists when the id belongs to a deleted point."""
    if any(trashed(context, trash_prefix(point_id))):
        raise AlreadyExists(
            f"Point {point_id} is in the trash.",
            reason="POINT_IN_TRASH",
            hint="Take it back, or use another id.",
            metadata={"point": point_id},
        )


def empty_trash(context: Context, older_than: datetime, *, delete: bool) -> list[Trashed]:
    """Copies of points deleted before ``older_than``; they are removed if ``delete``."""
    old = [copy for copy in list(trashed(context)) if copy.deleted_time <= older_than]
    for copy in old if delete else ():
        _delete(context, copy.name)
    return old


def _require_others(context: Context, point_id: str, asset: str, keep: int, siblings: Sequence[str]) -> None:
    if keep <= 0:
        return
    found: set[str] = set()
    for other in chain(siblings, _listed(context)):
        if other != point_id and other not in found and _is_genuine(context, other, asset):
            found.add(other)
            if len(found) >= keep:
                return
    raise FailedPrecondition(
        f"Point {point_id} is one of the last {len(found) + 1} good points of its asset.",
        reason="LAST_POINTS",
        hint="Take another backup first, or ask for fewer points to be kept.",
        metadata={"point": point_id},
    )


def _listed(context: Context) -> Iterator[str]:
    """Listed only when somebody asks."""
    yield from listed_points(context)


def _is_genuine(context: Context, point_id: str, asset: str) -> bool:
    try:
        return read_point(context, point_id).asset.get("id", "") == asset and not known_damage(
            context, point_id
        )
    except (NotFound, DataLoss):
        return False


def _delete(context: Context, name: str) -> None:
    try:
        context.store.delete(name)
    except NotFound:
        return
