"""Deleted points in their grace period (docs/repository-format.md, section 17)."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Final

from services.chassis.errors import AlreadyExists, DataLoss, FailedPrecondition, NotFound, PermissionDenied
from services.mover.repository.context import Context
from services.mover.repository.deletions import forget_deletion, record_deletion
from services.mover.repository.format.names import (
    TRASH,
    deletion_name,
    parse_numbered,
    point_name,
    trash_prefix,
)
from services.mover.repository.format.point import decode_body
from services.mover.repository.leases import take_lease
from services.mover.repository.leasewatch import remove_leases
from services.mover.repository.locks import hold_again, require_unlocked
from services.mover.repository.objects import put_same
from services.mover.repository.points import exists, is_revoked, listed_points, missing_point, read_point
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
    known to be damaged would be left, or nobody may delete it yet. ``siblings`` are ids that are looked at
    first.

    The copy in the trash says what is about to go: of two who delete at one moment, each relying on the
    other's point, at least one finds the other's copy, and takes its own back before anything is deleted.
    """
    name = point_name(point_id)
    try:
        data = context.store.get(name)
    except NotFound:
        raise missing_point(point_id) from None
    if is_revoked(context, name):
        raise missing_point(point_id)
    require_unlocked(context, point_id)
    try:
        asset = read_point(context, point_id).asset.get("id", "")
    except DataLoss as error:
        context.on_notice("POINT_UNREADABLE", f"{error.message} It was deleted for good.")
        _delete_point(context, point_id)
        return
    if purge and keep <= 0:
        _delete_point(context, point_id)
        return
    _require_others(context, point_id, asset, keep, siblings)
    copy = _put_copy(context, point_id, data)
    try:
        _require_others(context, point_id, asset, keep, siblings, leaving=_others_in_trash(context, point_id))
    except FailedPrecondition:
        if exists(context, name):
            _delete(context, copy)
        raise
    try:
        _delete_point(context, point_id)
    except PermissionDenied:
        _take_back(context, copy)
        _take_back(context, deletion_name(point_id))
        raise
    if purge:
        for trash in list(trashed(context, trash_prefix(point_id))):
            _delete(context, trash.name)


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
        body = context.objects.get("point", copies[-1].name, point_name(point_id))[1]
        hold_again(context, decode_body(body, copies[-1].name))
        lease.require()
        if is_revoked(context, point_name(point_id)):  # an earlier try died: what it wanted is still here
            context.store.delete(point_name(point_id))
        put_same(context.store, point_name(point_id), [data])
    except BaseException:
        lease.release()
        raise
    forget_deletion(context, point_id)
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


def _require_others(
    context: Context,
    point_id: str,
    asset: str,
    keep: int,
    siblings: Sequence[str],
    leaving: Set[str] = frozenset(),
) -> None:
    """Those ``leaving`` do not count: somebody is deleting them."""
    if keep <= 0:
        return
    found: set[str] = set()
    left: set[str] = set()
    for other in chain(siblings, _listed(context)):
        if other != point_id and other not in found | left and _is_genuine(context, other, asset):
            (left if other in leaving else found).add(other)
            if len(found) >= keep:
                return
    raise FailedPrecondition(
        f"Point {point_id} is one of the last {len(found) + 1} good points of its asset."
        + (f" Another one, {min(left)}, is being deleted too." if left else ""),
        reason="LAST_POINTS",
        hint="Take another backup first, or ask for fewer points to be kept."
        + (f" If nobody is deleting {min(left)}, take it back out of the trash." if left else ""),
        metadata={"point": point_id},
    )


def _put_copy(context: Context, point_id: str, data: bytes) -> str:
    """The name of a copy of our own: whoever deletes the same point at this moment has another one."""
    moment = int(context.time.now().timestamp())
    while True:
        name = f"{trash_prefix(point_id)}{moment:0{_DIGITS}d}"
        try:
            with_ballast(context, partial(context.store.put, name, [data]))
        except AlreadyExists:
            moment += 1
            continue
        return name


def _others_in_trash(context: Context, point_id: str) -> Set[str]:
    return {copy.point_id for copy in trashed(context) if copy.point_id != point_id}


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


def _delete_point(context: Context, point_id: str) -> None:
    record_deletion(context, point_id)
    _delete(context, point_name(point_id))


def _take_back(context: Context, name: str) -> None:
    """What announced a deletion that was refused, if it is there."""
    try:
        if exists(context, name):
            _delete(context, name)
    except PermissionDenied as error:
        text = f"{error.message} It is of no meaning while the point is there; a prune removes it later."
        context.on_notice("TRASH_COPY_KEPT", text)


def _delete(context: Context, name: str) -> None:
    try:
        context.store.delete(name)
    except NotFound:
        return
