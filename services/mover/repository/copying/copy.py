"""One copy: the chosen points of a repository that the target lacks, the oldest first."""

import threading
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.chassis.errors import Cancelled, DataLoss, NotFound
from services.mover.repository.context import Context, Listener
from services.mover.repository.copying.choosing import points_to_copy, together
from services.mover.repository.copying.making import Writers, writers
from services.mover.repository.copying.needs import Load, Needs
from services.mover.repository.copying.report import CopyListener, CopyOptions, CopyReport
from services.mover.repository.copying.shipping import SMALL_AT_ONCE, Refused, Shipper
from services.mover.repository.copying.target import ask_ahead, open_target
from services.mover.repository.damage import recorded_damage
from services.mover.repository.flow import Flow
from services.mover.repository.format.names import DAMAGE, INDEX, POINTS, point_name
from services.mover.repository.format.point import RestorePoint
from services.mover.repository.indexing import sync_index
from services.mover.repository.leasewatch import remove_moot_leases
from services.mover.repository.parallel import for_each
from services.mover.repository.points import listed_points, read_point
from services.mover.repository.store import Store
from services.mover.repository.stores.asked_ahead import AskedAhead


def copy_points(
    source: Context,
    target: Store,
    cache_dir: Path,
    options: CopyOptions,
    on_notice: Listener,
    listener: CopyListener | None,
    cancel: threading.Event | None,
) -> CopyReport:
    """Bring the chosen points to ``target``; raises as ``open_target`` and ``Copy`` do."""
    with AskedAhead(target) as store:
        ask_ahead(source, store)
        there = open_target(source, store, cache_dir, on_notice)
        try:
            return Copy(source, there, store, options, listener, cancel).run()
        finally:
            there.index.close()


class Copy:
    """Killed, cancelled or failed anywhere it leaves whole points, and packs that the next one finds.

    Nothing is ever removed from the target but leases of its own.
    """

    def __init__(
        self,
        source: Context,
        target: Context,
        ahead: AskedAhead,
        options: CopyOptions,
        listener: CopyListener | None,
        cancel: threading.Event | None,
    ) -> None:
        """``ahead`` is the target's store, which is told what it will be asked."""
        self._source, self._target, self._options = source, target, options
        self._ahead = ahead
        self._at_once = options.streams * SMALL_AT_ONCE
        self._listener, self._cancel = listener, cancel
        self._report = CopyReport()
        self._refused: dict[bytes, str] = {}
        self._needs = Needs(source, target, self._refused)
        self._made: set[str] = set()
        self._total = self._begun = 0

    def run(self) -> CopyReport:
        """Raises Cancelled, Aborted when another copy goes on with it, and what the target raises."""
        sync_index(self._source)
        for sha256 in recorded_damage(self._target.store):
            self._refused[sha256] = f"pack {sha256.hex()} is damaged at {self._target.store.location}."
        if self._refused:
            text = f"{len(self._refused)} packs are known to be damaged at {self._target.store.location}."
            self._target.on_notice("COPY_DAMAGED", f"{text} Points there may need them: verify the copy.")
        remove_moot_leases(self._target)
        points = points_to_copy(self._source, self._target, self._options, self._report)
        self._ahead.forget()
        with ThreadPoolExecutor(1, thread_name_prefix="sweep") as aside:
            swept = aside.submit(self._target.store.sweep)
            for some in together(points):
                self._check()
                self._copy([each.point_id for each in some], len(points))
                self._begun += len(some)
            swept.result()
        return self._report

    def _copy(self, point_ids: list[str], count: int) -> None:
        last = self._begun + len(point_ids)
        which = f"{self._begun + 1} to {last}" if last > self._begun + 1 else f"{last}"
        activity = f"copying restore points {which} of {count}"
        flow = Flow()

        def check() -> None:
            self._check()
            flow.raise_failure()

        shipper = Shipper(self._source, self._target, self._report, self._options.streams, check)
        with writers(self._target, flow, self._at_once) as leases:
            points = self._begin(point_ids, leases)
            load = self._ship(points, leases, shipper, lambda: self._tell(activity))
            self._target.store.settle(INDEX)  # segments of others, who may have died before they were durable
            sound = [point for point in points if point.point_id not in load.left]

            def make(point: RestorePoint) -> None:
                check()
                self._make(point, leases)

            for_each(sound, make, self._at_once)
            for point_id in self._made & load.pages.keys():
                self._needs.made(load, point_id)

    def _begin(self, point_ids: Sequence[str], leases: Writers) -> list[RestorePoint]:
        """Those of the points that can be copied, under leases.

        Only now that the leases are there, and the plans known, the target is asked for what it has: what a
        prune there has deleted by then is in its index no more, and all others wait for us.
        """
        leases.take(point_ids)
        begun: dict[str, RestorePoint] = {}

        self._ahead.ask((INDEX, DAMAGE, POINTS))
        taken = {stored.name for stored in self._target.store.list(POINTS)}

        def begin(point_id: str) -> None:
            why = leases.clear(point_id) if point_name(point_id) in taken else ""
            why = why or self._read(point_id, begun)
            if why:
                self._report.left_points[point_id] = why

        for_each(point_ids, begin, self._at_once)
        sync_index(self._target)
        self._learn_bases(list(begun.values()), set(listed_points(self._target)))
        self._ahead.forget()
        return [begun[each] for each in point_ids if each in begun]

    def _read(self, point_id: str, points: dict[str, RestorePoint]) -> str:
        """Why it is not among ``points`` now, or ""."""
        try:
            points[point_id] = read_point(self._source, point_id)
        except NotFound:
            return "It was deleted while it was copied."
        except DataLoss as error:
            return error.message
        return ""

    def _learn_bases(self, points: Sequence[RestorePoint], known: Set[str]) -> None:
        """What points differ from need not be walked if the target has it whole, as far as anybody knows."""
        self._needs.still_there(known)
        if self._target.index.has_damage():
            return
        for base_id in {point.base_point for point in points} & known:
            assert base_id is not None
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
