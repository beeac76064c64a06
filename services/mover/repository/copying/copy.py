"""One copy: the chosen points of a repository that the target lacks, the oldest first."""

import threading
from collections.abc import Callable
from typing import Final

from services.chassis.errors import Cancelled, DataLoss, NotFound
from services.mover.repository.context import Context
from services.mover.repository.copying.making import Writers, writers
from services.mover.repository.copying.needs import Load, Needs
from services.mover.repository.copying.report import CopyListener, CopyOptions, CopyReport, chosen
from services.mover.repository.copying.shipping import Refused, Shipper
from services.mover.repository.damage import recorded_damage
from services.mover.repository.flow import Flow
from services.mover.repository.format.names import INDEX, point_name
from services.mover.repository.format.point import RestorePoint
from services.mover.repository.indexing import sync_index
from services.mover.repository.leases import remove_moot_leases
from services.mover.repository.parallel import for_each
from services.mover.repository.points import exists, listed_points, read_point
from services.mover.repository.trash import trashed

_TOGETHER: Final = 16
"""Points that are made together: their packs are sent side by side, and each has a lease meanwhile."""


class Copy:
    """Killed, cancelled or failed anywhere it leaves whole points, and packs that the next one finds.

    Nothing is ever removed from the target but leases of its own.
    """

    def __init__(
        self,
        source: Context,
        target: Context,
        options: CopyOptions,
        listener: CopyListener | None,
        cancel: threading.Event | None,
    ) -> None:
        self._source, self._target, self._options = source, target, options
        self._listener, self._cancel = listener, cancel
        self._report = CopyReport()
        self._refused: dict[bytes, str] = {}
        self._needs = Needs(source, target, self._refused)
        self._known: set[str] = set()
        self._made: set[str] = set()
        self._total = self._begun = 0

    def run(self) -> CopyReport:
        """Raises Cancelled, Aborted when another copy goes on with it, and what the target raises."""
        sync_index(self._source)
        self._target.store.sweep()
        remove_moot_leases(self._target)
        for sha256 in recorded_damage(self._target.store):
            self._refused[sha256] = f"pack {sha256.hex()} is damaged at {self._target.store.location}."
        if self._refused:
            text = f"{len(self._refused)} packs are known to be damaged at {self._target.store.location}."
            self._target.on_notice("COPY_DAMAGED", f"{text} Points there may need them: verify the copy.")
        self._known = set(listed_points(self._target))
        points = self._points_to_copy()
        for start in range(0, len(points), _TOGETHER):
            self._check()
            self._begun = start
            self._copy(points[start : start + _TOGETHER], len(points))
        return self._report

    def _points_to_copy(self) -> list[str]:
        found: dict[str, tuple[dict[str, str], str]] = {}
        for point_id in listed_points(self._source):
            if self._options.everything and point_id in self._known:
                self._report.known_points += 1  # what it says of itself is not asked
                continue
            try:
                point = read_point(self._source, point_id)
            except NotFound:
                continue  # deleted just now
            except DataLoss as error:
                if point_id not in self._known:
                    self._report.left_points[point_id] = error.message
                continue
            found[point_id] = (dict(point.asset), point.snapshot_time)
        wanted = chosen(found, self._options)
        deleted = {copy.point_id for copy in trashed(self._target)}
        for point_id in deleted.intersection(wanted) - self._known:
            self._report.left_points[point_id] = "It was deleted at the target, and is in the trash there."
        self._report.known_points += len(self._known.intersection(wanted))
        return [each for each in wanted if each not in self._known and each not in deleted]

    def _copy(self, point_ids: list[str], count: int) -> None:
        last = self._begun + len(point_ids)
        which = f"{self._begun + 1} to {last}" if last > self._begun + 1 else f"{last}"
        activity = f"copying restore points {which} of {count}"
        flow = Flow()

        def check() -> None:
            self._check()
            flow.raise_failure()

        shipper = Shipper(self._source, self._target, self._report, self._options.streams, check)
        with writers(self._target, flow) as leases:
            begun: dict[str, RestorePoint | None] = {}

            def begin(point_id: str) -> None:
                begun[point_id] = self._begin(point_id, leases)

            for_each(point_ids, begin, self._options.streams)
            points = [point for each in point_ids if (point := begun[each]) is not None]
            self._learn_bases(points)
            load = self._ship(points, leases, shipper, lambda: self._tell(activity))
            self._target.store.settle(INDEX)  # segments of others, who may have died before they were durable
            sound = [point for point in points if point.point_id not in load.left]

            def make(point: RestorePoint) -> None:
                check()
                self._make(point, leases)

            for_each(sound, make, self._options.streams)
            for point_id in self._made & load.pages.keys():
                self._needs.made(load, point_id)

    def _begin(self, point_id: str, leases: Writers) -> RestorePoint | None:
        if why := leases.take(point_id):
            self._report.left_points[point_id] = why
            return None
        try:
            return read_point(self._source, point_id)
        except NotFound:
            self._report.left_points[point_id] = "It was deleted while it was copied."
        except DataLoss as error:
            self._report.left_points[point_id] = error.message
        return None

    def _learn_bases(self, points: list[RestorePoint]) -> None:
        """What points differ from need not be walked if the target has it whole, as far as anybody knows."""
        if self._target.index.has_damage():
            return
        for base_id in {point.base_point for point in points if point.base_point in self._known}:
            assert base_id is not None
            if not exists(self._target, point_name(base_id)):
                continue
            try:
                self._needs.has(read_point(self._source, base_id))
            except (NotFound, DataLoss):
                continue  # then more is walked

    def _ship(
        self, points: list[RestorePoint], leases: Writers, shipper: Shipper, moved: Callable[[], None]
    ) -> Load:
        """Send all that the points need, each pack from where it can be had; what cannot be is told."""
        plans = leases.plans
        before = self._report.copied_bytes + self._report.found_bytes
        while True:
            load = self._needs.of(points, plans)
            size = sum(pack.size for pack in load.packs.values())
            self._total = max(self._total, before + size)
            moved()
            try:
                shipper.ship(load, moved)
            except Refused as refused:
                self._refused[refused.pack.sha256] = refused.why
                sync_index(self._source)
                continue
            self._report.left_points |= load.left
            return load

    def _make(self, point: RestorePoint, leases: Writers) -> None:
        why = leases.make(self._source, point)
        if why:
            self._report.left_points[point.point_id] = why
        else:
            self._made.add(point.point_id)
            self._report.copied_points.append(point.point_id)

    def _tell(self, activity: str) -> None:
        if self._listener is not None:
            report = self._report
            self._listener(activity, self._total, report.copied_bytes, report.found_bytes)

    def _check(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled(
                "The copy was cancelled.",
                reason="COPY_CANCELLED",
                hint="Start it again if needed: what was sent is not sent again.",
            )
