"""Verification: packs against their names, blobs against their ids, points against both."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from services.chassis.errors import Cancelled
from services.mover.repository.checkedpacks import CheckedPacks
from services.mover.repository.context import Context, info_of
from services.mover.repository.cores import threads
from services.mover.repository.damage import recorded_damage
from services.mover.repository.format.names import HEADER, PACKS, point_name
from services.mover.repository.indexing import sync_index
from services.mover.repository.objectcheck import EVERYWHERE, check_object
from services.mover.repository.packlisting import PackListing
from services.mover.repository.parallel import for_each
from services.mover.repository.pointcheck import PointChecker
from services.mover.repository.points import exists, listed_points
from services.mover.repository.quarantining import look_for_gone, look_for_strangers, quarantine, release
from services.mover.repository.sampling import Sample, Sampled, picked
from services.mover.repository.store import StoredObject
from services.mover.repository.uncovering import bring_back_header, bring_back_keys, bring_back_points
from services.mover.repository.verification import Finding, Tally, Verification

_MOST_PACKS: Final = 6
"""So many are held in memory at a time, of 32 MiB as a rule."""


class Verifying:
    """One verification: scrub everything, decode every blob when ``full``, and walk the maps of all points.

    What somebody only hid is uncovered, where that may be done, and looked at like everything else. Damaged
    packs are recorded, so that deduplication ignores them at once.
    """

    def __init__(
        self,
        context: Context,
        *,
        full: bool,
        sample: Sample | None,
        workers: int | None,
        listener: Callable[[int, int], None] | None,
        cancel: threading.Event | None,
        notes: Path | None = None,
    ) -> None:
        """Of packs that are there a ``sample`` reads some, and those known to be damaged; of everything else
        all. ``listener`` hears of objects and bytes checked so far.

        ``notes`` is a file, one for each depth, in which is kept how far it is: killed or cancelled, the next
        one does not read again what was whole within a week, and says so. A sample is not gone on with.
        """
        self._context, self._full, self._sample = context, full, sample
        self._workers = workers or threads(most=_MOST_PACKS)
        self._listener, self._cancel = listener, cancel
        self._notes = notes if sample is None else None
        self._tally = Tally()
        self._counting = threading.Lock()

    def run(self) -> Verification:
        """Raises Cancelled, and what the store raises."""
        context, tally = self._context, self._tally
        bring_back_points(context, tally.notices)
        points = listed_points(context)
        sync_index(context)
        with PackListing() as self._present, CheckedPacks(self._notes, context.time.now()) as self._checked:
            self._suspects = frozenset(recorded_damage(context.store))
            sampled = self._check_everything()
            look_for_gone(context, tally, self._present, partial(self._check, PACKS))
            quarantine(context, tally)
            release(context, tally, self._was_read)
            if problem := bring_back_header(context, tally.notices):
                tally.problems[HEADER] = problem
            bring_back_keys(context, tally.notices)
            self._tell_what_was_resumed()
            sound, bad, findings = self._judge(points)
            if bad:
                look_for_strangers(context, tally, self._present)
            self._checked.forget()
        return Verification(
            findings=tuple(findings),
            sound_points=tuple(sound) if sampled is None else (),
            damaged_points=tuple(bad),
            checked_objects=tally.objects,
            checked_bytes=tally.size,
            sampled=sampled,
            notices=tuple(tally.notices),
            resumed_bytes=tally.resumed,
        )

    def _check_everything(self) -> Sampled | None:
        """How much of the packs a sample read."""
        sampled = None
        for prefix in EVERYWHERE:
            if prefix == PACKS and self._sample is not None:
                sampled = self._check_sample(self._sample)
            else:
                self._check_all(prefix, self._listed(prefix))
        return sampled

    def _check_sample(self, sample: Sample) -> Sampled:
        """Whatever is no pack is looked at anyway, to be named."""
        again, others = dict[bytes, StoredObject](), list[StoredObject]()
        for stored in self._listed(PACKS):
            info = info_of(stored.name)
            if info is None:
                others.append(stored)
            elif info.sha256 in self._suspects:
                again[info.sha256] = stored
        self._check_all(PACKS, others)
        packs, size = self._tally.objects, self._tally.size
        part, next_start = picked(self._present, sample)
        news = (StoredObject(pack.name, pack.size) for pack in part if pack.sha256 not in again)
        self._check_all(PACKS, chain(again.values(), news))
        packs, size = self._tally.objects - packs, self._tally.size - size
        there, there_bytes = self._present.total()
        return Sampled(packs, there, size, there_bytes, next_start)

    def _listed(self, prefix: str) -> Iterator[StoredObject]:
        """What is to be read: all, but for packs that an earlier verification found whole."""
        for stored in self._context.store.list(prefix):
            if (info := info_of(stored.name)) is not None:
                self._present.note([(info.sha256, info.kind, stored.size)])
                if self._need_not_read(info.sha256, stored.size):
                    with self._counting:
                        self._tally.objects += 1
                        self._tally.size += stored.size
                        self._tally.resumed += stored.size
                    continue
            yield stored

    def _need_not_read(self, pack: bytes, size: int) -> bool:
        return pack not in self._suspects and self._checked.knows(pack, size)

    def _check_all(self, prefix: str, objects: Iterable[StoredObject]) -> None:
        for_each(objects, partial(self._check, prefix), self._workers)

    def _check(self, prefix: str, stored: StoredObject) -> None:
        self._check_wanted()
        problem, lost = check_object(self._context, prefix, stored, full=self._full)
        tally = self._tally
        with self._counting:
            tally.objects += 1
            tally.size += stored.size
            tally.lost |= lost
            if problem is not None:
                tally.problems[stored.name] = problem
            elif (info := info_of(stored.name)) is not None:
                self._checked.add(info.sha256, stored.size)
        if self._listener is not None:
            self._listener(tally.objects, tally.size)

    def _was_read(self, pack: bytes) -> bool:
        """By this verification; of a sample's packs only those count that were known to be damaged."""
        sizes = self._present.sizes([pack])
        if pack not in sizes or (self._sample is not None and pack not in self._suspects):
            return False
        return not self._need_not_read(pack, sizes[pack])

    def _tell_what_was_resumed(self) -> None:
        if self._tally.resumed:
            text = f"{self._tally.resumed} bytes of packs were not read again: a verification that did not"
            text += f" end found them whole, {self._checked.began.isoformat()} at the earliest."
            self._tally.notices.append(("VERIFY_RESUMED", text))

    def _judge(self, points: Sequence[str]) -> tuple[list[str], list[str], list[Finding]]:
        """Which points are sound, which are not, and what is to blame; every problem is told."""
        problems = self._tally.problems
        blame: dict[str, list[str]] = {name: [] for name in problems}
        sound, bad = [], []
        with PointChecker(self._context, self._tally.lost) as checker:
            for point_id in points:
                self._check_wanted()
                culprits = checker.culprits(point_id)
                if not culprits:
                    sound.append(point_id)
                    continue
                if not exists(self._context, point_name(point_id)):
                    continue  # deleted in the meantime
                bad.append(point_id)
                for name, problem in culprits.items():
                    problems.setdefault(name, problem)
                    blame.setdefault(name, []).append(point_id)
        return sound, bad, [Finding(name, problems[name], tuple(blame[name])) for name in sorted(blame)]

    def _check_wanted(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled(
                "The verification was cancelled.",
                reason="VERIFY_CANCELLED",
                hint="Start it again: one of everything goes on where this one was.",
            )
