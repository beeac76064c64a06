"""A prune, from marking to sweeping (docs/repository-format.md, section 16)."""

import contextlib
import threading
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Final

from services.chassis.errors import AlreadyExists, Cancelled, DataLoss, NotFound
from services.mover.repository.checkpoint import forget_unfinished, unfinished
from services.mover.repository.context import Context
from services.mover.repository.damage import forget_damage
from services.mover.repository.deletions import forget_moot_deletions
from services.mover.repository.format.names import INDEX, POINTS, PRUNE_FEATURE, TRASH
from services.mover.repository.format.plan import Plan, plan_name
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.index import PackInfo
from services.mover.repository.indexing import index_packs, records_of, sync_index
from services.mover.repository.indexrewriting import drop_packs
from services.mover.repository.leasewatch import highest_numbers, remove_moot_leases
from services.mover.repository.locks import locked_packs
from services.mover.repository.packreader import read_record
from services.mover.repository.plans import Plans, listed_plans, put_plan
from services.mover.repository.points import exists
from services.mover.repository.ports import nobody
from services.mover.repository.pruning.census import Census, PackUse, take_census
from services.mover.repository.pruning.choosing import bounds_of, worth_repacking
from services.mover.repository.pruning.liveset import LiveSet
from services.mover.repository.pruning.marking import Marker, mark_everything
from services.mover.repository.pruning.repacking import repack
from services.mover.repository.pruning.report import WEEK_SECONDS, PruneListener, PruneOptions, PruneReport
from services.mover.repository.pruning.retiring import require_retirable, retire
from services.mover.repository.pruning.settling import Settling
from services.mover.repository.pruning.sweeping import Sweep
from services.mover.repository.request import BackupOptions
from services.mover.repository.reserve import load_ballast, with_ballast
from services.mover.repository.trash import empty_trash

_LATER_SHARE: Final = 4
"""Of the blobs there are, so many may come while the prune runs."""
_PLANNED_PACKS: Final = 100_000


class Prune:
    """One run. Killed anywhere, it leaves at most plans, which the next run carries out."""

    def __init__(
        self,
        context: Context,
        options: PruneOptions,
        writing: BackupOptions,
        listener: PruneListener | None,
        cancel: threading.Event | None,
    ) -> None:
        self._context = context
        self._options = options
        self._writing = writing
        self._listener = listener
        self._cancel = cancel or threading.Event()
        self._settling = Settling(context, options.patience_seconds, self._pause)
        self._total = self._done = 0
        self.report = PruneReport()

    def run(self) -> PruneReport:
        """Raises FailedPrecondition when it cannot be known what is needed, Cancelled, and what the store
        raises; what is planned by then is carried out by the next run.
        """
        context, report = self._context, self.report
        if self._options.retire_through:
            require_retirable(context, self._options.retire_through)
        self._tell("emptying the trash")
        oldest = context.time.now() - timedelta(seconds=self._options.grace_seconds)
        if not self._options.dry_run:
            self._announce()
            remove_moot_leases(context)
            forget_moot_deletions(context)
            forget_unfinished(context, context.time.now() - timedelta(seconds=WEEK_SECONDS))
        emptied = empty_trash(context, oldest, delete=not self._options.dry_run)
        report.purged_points = tuple(sorted({copy.point_id for copy in emptied}))
        self._tell("finding out what is needed")
        sync_index(context)
        plans = listed_plans(context)
        blobs = context.index.totals()[2]
        self._live = LiveSet(blobs + blobs // _LATER_SHARE)
        with Marker(context, self._live, self._options.workers) as self._marker:
            self._marker.objects.update(copy.name for copy in emptied)
            self._mark()
            self._judge(plans)
        return report

    def _judge(self, plans: Plans) -> None:
        context, report = self._context, self.report
        bounds = bounds_of(self._options, context.pack_bytes)
        census = take_census(context, self._live, plans.hidden, bounds, self._check)
        if census.lost:
            text = f"{census.lost} blobs that points need are in no pack. A verification names the points."
            context.on_notice("BLOBS_LOST", text)
        chosen = worth_repacking(census, self._options, context.pack_bytes)
        unused, chosen = self._deletable(census.unused, chosen)
        if self._options.dry_run:
            self._foretell(plans, unused, chosen)
            return
        self._remove_unreadable(plans)
        unused += self._deletable(self._judge_strangers(census, plans), [])[0]
        self._carry_out([*plans.readable, *self._plan(unused)], census.ghosts)
        self._repack(chosen)
        if self._options.retire_through:
            retire(context, self._options.retire_through, report)
        report.revoked_points = tuple(self._settling.revoked)
        load_ballast(context)

    def _announce(self) -> None:
        """From the first prune on, a release that knows nothing of plans must not write here."""
        if not exists(self._context, PRUNE_FEATURE):
            with contextlib.suppress(AlreadyExists):
                with_ballast(self._context, lambda: self._context.store.put(PRUNE_FEATURE, [b"\n"]))

    def _mark(self) -> None:
        for checkpoint in unfinished(self._context):
            self._marker.mark_checkpoint(checkpoint)
        mark_everything(self._context, self._marker, self._check)

    def _deletable(
        self, unused: list[PackInfo], chosen: list[PackUse]
    ) -> tuple[list[PackInfo], list[PackUse]]:
        """Those that nobody has locked: to store again what is in a locked one would free nothing."""
        wanted = [*unused, *(use.pack for use in chosen)]
        locked = locked_packs(self._context.store, wanted, self._check)
        for pack in wanted:
            if pack.sha256 in locked:
                self.report.keep_locked(pack.size, locked[pack.sha256])
        return (
            [pack for pack in unused if pack.sha256 not in locked],
            [use for use in chosen if use.pack.sha256 not in locked],
        )

    def _plan(self, packs: Sequence[PackInfo]) -> list[Plan]:
        """Plans of a bounded length: whoever reads one has it in memory."""
        self._total += sum(pack.size for pack in packs)
        plans = []
        for at in range(0, len(packs), _PLANNED_PACKS):
            some = [(pack.sha256, pack.kind) for pack in packs[at : at + _PLANNED_PACKS]]
            plans.append(with_ballast(self._context, partial(put_plan, self._context, some)))
        return plans

    def _carry_out(self, plans: list[Plan], ghosts: set[bytes]) -> None:
        """Sweep those plans that no older writer keeps waiting; ``ghosts`` leave the index as well."""
        if plans:
            self._tell("waiting for backups that began earlier")
        older = self._settling.older(plan.plan_id for plan in plans)
        ready = [plan for plan in plans if not older[plan.plan_id]]
        waiting = [plan for plan in plans if older[plan.plan_id]]
        points = set().union(*older.values()) | set(self.report.waiting_points)
        self.report.waiting_points = tuple(sorted(points))
        self.report.waiting_packs += sum(len(plan.packs) for plan in waiting)
        if ready:
            self._tell("looking at the newest points")
            sync_index(self._context)
            self._mark()
            for folder in (POINTS, TRASH, INDEX):  # what others changed, who may have died just after
                self._context.store.settle(folder)
        for plan in ready:
            self._sweep(plan)
        if ghosts:
            drop_packs(self._context, ghosts)
            for sha256 in ghosts:  # nothing names them any more, so nothing has to be warned of them
                with contextlib.suppress(NotFound):
                    forget_damage(self._context.store, sha256)

    def _sweep(self, plan: Plan) -> None:
        self._tell("deleting packs")
        sweep = Sweep(self._context, plan, self._live, self._check, self._deleted)
        self.report.kept_packs += sweep.run(self._options.workers)
        for size, until in sweep.locked:
            self.report.keep_locked(size, until)

    def _repack(self, chosen: list[PackUse]) -> None:
        """Nothing is repacked that is not planned first: two who prune never both keep the other's copy."""
        if not chosen:
            return
        free = self._context.store.free_bytes()
        needed = sum(use.kept_bytes for use in chosen) + 2 * self._context.pack_bytes
        if free is not None and free < needed:
            text = (
                f"{len(chosen)} packs that are small or hold little are left: it takes {needed} bytes,"
                f" {free} are free."
            )
            self._context.on_notice("REPACK_SKIPPED", text)
            return
        activity = "storing again what is needed of small packs and of those that hold little"
        self._total += sum(use.kept_bytes for use in chosen)

        def copied(size: int) -> None:
            self._done += size
            self._tell(activity)

        self._tell(activity)
        plans = self._plan([use.pack for use in chosen])
        hidden = listed_plans(self._context)
        records = chain.from_iterable(records_of(self._context, plan.packs) for plan in plans)
        self.report.stored_bytes += repack(self._context, records, self._live, hidden, self._writing, copied)
        before = self.report.deleted_packs
        self._carry_out(plans, set())
        self.report.repacked_packs += self.report.deleted_packs - before

    def _judge_strangers(self, census: Census, plans: Plans) -> list[PackInfo]:
        """Packs in no index segment: those with needed blobs are indexed, the rest goes.

        While anybody writes they are left: they may be of a backup that is under way.
        """
        if not census.strangers or highest_numbers(self._context):
            return []
        rest: list[PackInfo] = []
        needed: list[PackRecord] = []
        for pack in census.strangers:
            self._check()
            try:
                record = read_record(self._context.store, self._context.keys, pack.name, pack.size)
            except NotFound:
                continue
            except DataLoss as error:
                self._context.report_damage(pack, error.message)
                self._context.on_notice("PACK_DAMAGED", error.message)
                continue
            ids = [entry.id for entry in record.entries if entry.id in self._live]
            copies = self._context.index.find(ids)
            if not all(any(self._stays(copy.pack, plans) for copy in copies.get(id_, ())) for id_ in ids):
                self._context.store.settle(pack.name)  # its writer may have died before it was durable
                needed.append(record)
            else:
                rest.append(pack)
        if needed:
            index_packs(self._context, needed, nobody)
            text = f"{len(needed)} packs that points need were in no index segment; they are now."
            self._context.on_notice("PACKS_INDEXED", text)
        return rest

    @staticmethod
    def _stays(pack: PackInfo, plans: Plans) -> bool:
        return not (pack.damaged or plans.hides(pack.sha256))

    def _remove_unreadable(self, plans: Plans) -> None:
        for plan_id in plans.unreadable:
            with contextlib.suppress(NotFound):
                self._context.store.delete(plan_name(plan_id))

    def _foretell(self, plans: Plans, unused: list[PackInfo], chosen: list[PackUse]) -> None:
        report = self.report
        report.deleted_packs = len(unused) + len(chosen)
        report.deleted_bytes = sum(pack.size for pack in unused)
        report.deleted_bytes += sum(use.pack.size for use in chosen)
        report.repacked_packs = len(chosen)
        report.stored_bytes = sum(use.kept_bytes for use in chosen)
        report.waiting_packs = len(plans.hidden)
        report.waiting_points = tuple(sorted(highest_numbers(self._context)))

    def _deleted(self, size: int) -> None:
        self.report.deleted_packs += 1
        self.report.deleted_bytes += size
        self._done += size
        self._tell("deleting packs")

    def _tell(self, activity: str) -> None:
        self._check()
        if self._listener is not None:
            self._listener(activity, max(self._total, self._done), self._done)

    def _pause(self, seconds: float) -> None:
        self._cancel.wait(seconds)
        self._check()

    def _check(self) -> None:
        if self._cancel.is_set():
            raise Cancelled(
                "The prune was cancelled.",
                reason="PRUNE_CANCELLED",
                hint="Start it again: it goes on with what it had planned.",
            )
