"""Keeping what points need locked, where the store can (docs/repository-format.md, section 18)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from services.chassis.errors import FailedPrecondition, NotFound
from services.mover.repository.context import Context
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import FEATURES, HEADER, KEYS, point_name
from services.mover.repository.format.point import RestorePoint
from services.mover.repository.index import PackInfo
from services.mover.repository.parallel import for_each
from services.mover.repository.store import LockingStore, Store
from services.mover.repository.walking import blobs_of

_WORKERS: Final = 8


@dataclass(frozen=True, slots=True)
class Locking:
    """A store that locks: everything a point needs, for ``period`` from its commit, and some more at once."""

    store: LockingStore
    period: timedelta

    @property
    def at_once(self) -> timedelta:
        return self.period + self.period / 4


def locking(store: Store) -> Locking | None:
    """None when nothing is locked here."""
    if isinstance(store, LockingStore) and store.lock_period is not None:
        return Locking(store, store.lock_period)
    return None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where what a new point needs comes from: its base, packs others made, and packs put since ``began``.

    ``resumed``: some were put before that, nobody knows when.
    """

    base: RestorePoint | None
    relied_on: Sequence[PackInfo]
    began: datetime
    resumed: bool


def held(context: Context, point: RestorePoint, origin: Origin) -> RestorePoint:
    """The point, with all it needs locked for the period from now on, and saying until when.

    Costs what changed as long as the base's locks last long enough; else the point is walked, which is so
    every quarter of the period.
    """
    locks = locking(context.store)
    if locks is None:
        return point
    now = context.time.now()
    need = now + locks.period
    until = [origin.began + locks.at_once, *_extended(context, locks, _own_names(context), now)]
    if origin.base is not None:
        until.append(_locked_here(context, origin.base))
    if origin.resumed or min(until) < need:
        until = _extended(context, locks, _packs_of(context, point), now)
    else:
        until += _extended(context, locks, {pack.name for pack in origin.relied_on}, now)
    least = min(until, default=now + locks.at_once)
    return replace(
        point, locked_until=least.strftime("%Y-%m-%dT%H:%M:%SZ"), locked_place=context.store.location
    )


def hold_again(context: Context, point: RestorePoint) -> None:
    """Lock all that a point needs which comes back from the trash, or from another repository."""
    locks = locking(context.store)
    if locks is not None:
        now = context.time.now()
        _extended(context, locks, _packs_of(context, point) | _own_names(context), now)


def require_unlocked(context: Context, point_id: str) -> None:
    """Raises FailedPrecondition when nobody may delete the point yet."""
    until = locked_until(context.store, point_name(point_id))
    if until is not None:
        raise FailedPrecondition(
            f"Restore point {point_id} is locked until {until:%Y-%m-%d %H:%M:%S} UTC.",
            reason="POINT_LOCKED",
            hint="Nobody can delete it before; it was locked so that nobody could.",
            metadata={"point": point_id, "until": until.isoformat()},
        )


def locked_until(store: Store, name: str) -> datetime | None:
    """None when the object may be deleted, or is gone."""
    locks = locking(store)
    try:
        return locks.store.locked_until(name) if locks is not None else None
    except NotFound:
        return None


def locked_packs(store: Store, packs: Iterable[PackInfo], check: Callable[[], None]) -> dict[bytes, datetime]:
    """Which of the packs nobody may delete yet, and until when. ``check`` may stop it."""
    found: dict[bytes, datetime] = {}

    def look(pack: PackInfo) -> None:
        check()
        until = locked_until(store, pack.name)
        if until is not None:
            found[pack.sha256] = until

    if locking(store) is not None:
        for_each(packs, look, _WORKERS)
    return found


def _own_names(context: Context) -> set[str]:
    """What every point needs beside packs."""
    folders = (KEYS, FEATURES)
    return {HEADER, *(stored.name for folder in folders for stored in context.store.list(folder))}


def _extended(context: Context, locks: Locking, names: Iterable[str], now: datetime) -> list[datetime]:
    """Until when each is locked; what would be locked too short is locked longer."""
    found: list[datetime] = []

    def extend(name: str) -> None:
        try:
            until = locks.store.locked_until(name)
            if until is None or until < now + locks.period:
                until = now + locks.at_once
                locks.store.extend_lock(name, until)
        except NotFound:
            raise damaged(name, "it is gone") from None
        found.append(until)

    for_each(names, extend, _WORKERS)
    return found


def _packs_of(context: Context, point: RestorePoint) -> set[str]:
    """Every pack with a copy of what the point needs; damaged ones are none."""
    seen: set[bytes] = set()
    names: set[str] = set()

    def is_news(page: bytes) -> bool:
        known = page in seen
        seen.add(page)
        return not known

    for ids in blobs_of(context, point, is_news):
        for copies in context.index.find(ids).values():
            names.update(copy.pack.name for copy in copies if not copy.pack.damaged)
    return names


def _locked_here(context: Context, point: RestorePoint) -> datetime:
    """Points of earlier releases, and copies from other places, say nothing of this one: long ago."""
    try:
        if point.locked_place == context.store.location:
            return datetime.fromisoformat(point.locked_until).astimezone(UTC)
    except ValueError:
        pass
    return datetime.fromtimestamp(0, UTC)
