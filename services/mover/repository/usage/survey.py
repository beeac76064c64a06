"""Finding out what takes how much room: every point is walked, then every copy of every blob met once."""

import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

from services.chassis.errors import Cancelled, DataLoss, NotFound, ResourceExhausted
from services.mover.repository.checkpoint import unfinished
from services.mover.repository.context import Context
from services.mover.repository.format.names import point_name
from services.mover.repository.format.point import RestorePoint, decode_body
from services.mover.repository.indexing import sync_index
from services.mover.repository.points import exists, listed_points, read_point
from services.mover.repository.trash import trashed
from services.mover.repository.usage.needs import SHARED, TRASH, UNFINISHED, Needs, asset_owner
from services.mover.repository.usage.report import (
    AssetUsage,
    DayUsage,
    PointUsage,
    TotalUsage,
    Usage,
    UsageListener,
)
from services.mover.repository.walking import blobs_below, blobs_of, ids_of

_WINDOW: Final = timedelta(days=30)


@dataclass(slots=True)
class _Sums:
    needed: int = 0
    shared: int = 0
    trash: int = 0
    unfinished: int = 0
    dead: int = 0


def survey(
    context: Context, folder: Path, listener: UsageListener | None, cancel: threading.Event | None
) -> Usage:
    """Raises as ``Survey`` does, and ResourceExhausted when ``folder`` has no room for what is needed."""
    try:
        with Needs(folder) as needs:
            return Survey(context, needs, context.time.now(), listener, cancel).run()
    except (sqlite3.Error, OSError) as error:
        raise ResourceExhausted(
            f"There is no room for the survey in {folder}: {error}.",
            reason="SURVEY_NO_ROOM",
            hint="Free space there, and ask again; the repository is not affected.",
        ) from error


class Survey:
    """One run; ``now`` ends the days whose growth is averaged."""

    def __init__(
        self,
        context: Context,
        needs: Needs,
        now: datetime,
        listener: UsageListener | None,
        cancel: threading.Event | None,
    ) -> None:
        self._context = context
        self._needs = needs
        self._now = now
        self._listener = listener
        self._cancel = cancel or threading.Event()
        self._points: list[PointUsage] = []
        self._assets: dict[str, AssetUsage] = {}
        self._numbers: dict[str, int] = {}
        self._unreadable: list[str] = []

    def run(self) -> Usage:
        """Raises Cancelled, and what the store raises. A point that cannot be walked is named."""
        sync_index(self._context)
        listed = listed_points(self._context)
        for done, point_id in enumerate(listed):
            self._tell(done, len(listed))
            self._take(point_id)
        self._take_leaving()
        self._tell(len(listed), len(listed))
        sums = self._weigh()
        days = _days(self._points)
        packs, stored, blobs = self._context.index.totals()
        added, span = self._growth()
        total = TotalUsage(
            points=len(self._points),
            assets=len(self._assets),
            packs=packs,
            blobs=blobs,
            logical=sum(point.logical for point in self._points),
            stored=stored,
            needed=sums.needed,
            shared=sums.shared,
            trash=sums.trash,
            unfinished=sums.unfinished,
            dead=sums.dead,
            added_per_day=added,
            days=span,
            free=self._context.store.free_bytes(),
            unreadable=tuple(self._unreadable),
        )
        assets = tuple(sorted(self._assets.values(), key=lambda asset: (asset.name, asset.asset_id)))
        points = tuple(sorted(self._points, key=lambda point: (point.commit_time, point.point_id)))
        return Usage(total, assets, points, days)

    def _take(self, point_id: str) -> None:
        number = len(self._points)
        try:
            point = read_point(self._context, point_id)
        except NotFound:
            return  # deleted meanwhile
        except DataLoss:
            self._unreadable.append(point_id)
            return
        usage = _usage(point)
        asset = self._assets.setdefault(
            usage.asset_id, AssetUsage(usage.asset_id, usage.asset_name, usage.asset_kind)
        )
        self._needs.add_point(number, self._numbers.setdefault(usage.asset_id, len(self._numbers)))
        self._points.append(usage)
        asset.points += 1
        asset.logical += usage.logical
        asset.read += usage.read
        asset.stored += usage.stored
        try:
            for ids in blobs_of(self._context, point, self._news_to(number)):
                self._needs.add(ids, number)
        except DataLoss:
            if exists(self._context, point_name(point_id)):
                self._unreadable.append(point_id)

    def _take_leaving(self) -> None:
        news_to_trash = self._news_to(TRASH)
        for copy in list(trashed(self._context)):
            self._check()
            try:
                body = self._context.objects.get("point", copy.name, point_name(copy.point_id))[1]
                for ids in blobs_of(self._context, decode_body(body, copy.name), news_to_trash):
                    self._needs.add_leaving(ids, TRASH)
            except NotFound:
                continue
            except DataLoss:
                self._unreadable.append(copy.point_id)
        for checkpoint in unfinished(self._context):
            for disk in checkpoint.disks.values():
                roots = [id_ for id_ in disk.progress.pages.values() if id_ is not None]
                entries = disk.progress.entries.values()
                self._needs.add_leaving(ids_of(entries), UNFINISHED)
                try:
                    for ids in blobs_below(self._context, roots, self._news_to(UNFINISHED)):
                        self._needs.add_leaving(ids, UNFINISHED)
                except DataLoss:
                    continue  # what of it is lost is read again, and needs nothing

    def _news_to(self, owner: int) -> Callable[[bytes], bool]:
        def is_news(page: bytes) -> bool:
            self._check()
            return self._needs.is_news(page, owner)

        return is_news

    def _weigh(self) -> _Sums:
        """Of several copies of a blob one is needed; the others are dead, as a prune sees them."""
        sums = _Sums()
        assets = list(self._assets.values())
        by_owner = {asset_owner(number): asset for number, asset in enumerate(assets)}
        owners = self._needs.owners()
        needed, owner = next(owners, (b"", None))
        for id_, copies in groupby(self._context.index.copies(), itemgetter(0)):
            self._check()
            sizes = [stored for _, _, stored in copies]
            while owner is not None and needed < id_:
                needed, owner = next(owners, (b"", None))
            if owner is None or needed != id_:
                sums.dead += sum(sizes)
                continue
            sums.dead += sum(sizes[1:])
            size = sizes[0]
            if owner == TRASH:
                sums.trash += size
            elif owner == UNFINISHED:
                sums.unfinished += size
            else:
                sums.needed += size
                if owner == SHARED:
                    sums.shared += size
                elif owner >= 0:
                    self._points[owner].unique += size
                    self._assets[self._points[owner].asset_id].unique += size
                else:
                    by_owner[owner].unique += size
        return sums

    def _growth(self) -> tuple[int, int]:
        """Stored bytes a day, and over how many days."""
        since = self._now - _WINDOW
        recent = [point for point in self._points if since < _moment(point.commit_time) <= self._now]
        if not recent:
            return 0, 0
        span = self._now - max(since, min(_moment(point.commit_time) for point in self._points))
        days = max(1, round(span / timedelta(days=1)))
        return round(sum(point.stored for point in recent) / days), days

    def _tell(self, done: int, total: int) -> None:
        self._check()
        if self._listener is not None:
            self._listener(done, total)

    def _check(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("The survey was cancelled.", reason="SURVEY_CANCELLED", hint="Start it again.")


def _usage(point: RestorePoint) -> PointUsage:
    streams = sum(ref.length for ref in point.streams.values())
    return PointUsage(
        point_id=point.point_id,
        asset_id=point.asset.get("id", ""),
        asset_name=point.asset.get("name", ""),
        asset_kind=point.asset.get("kind", ""),
        level=point.level,
        commit_time=point.commit_time,
        logical=sum(disk.size_bytes for disk in point.disks) + streams,
        read=point.statistics.get("read_bytes", 0),
        stored=point.statistics.get("stored_bytes", 0),
    )


def _days(points: Iterable[PointUsage]) -> tuple[DayUsage, ...]:
    days: dict[str, DayUsage] = {}
    for point in points:
        name = _moment(point.commit_time).date().isoformat()
        day = days.setdefault(name, DayUsage(name))
        day.points += 1
        day.logical += point.logical
        day.stored += point.stored
    return tuple(days[name] for name in sorted(days))


def _moment(time: str) -> datetime:
    """What no reader of points looks at may be anything: what is no time was long ago."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
