"""Verification: packs against their names, blobs against their ids, points against both."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from services.chassis.errors import Cancelled, DataLoss, FailedPrecondition, NotFound, PermissionDenied
from services.mover.repository.checkedpacks import CheckedPacks
from services.mover.repository.context import Context, info_of
from services.mover.repository.cores import threads
from services.mover.repository.damage import forget_damage, recorded_damage
from services.mover.repository.features import require_writable
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.envelope import parse_envelope
from services.mover.repository.format.lease import looks_like_revocation
from services.mover.repository.format.names import (
    CHECKPOINTS,
    HEADER,
    INDEX,
    PACKS,
    PLANS,
    POINTS,
    TRASH,
    point_name,
)
from services.mover.repository.indexing import records_of, sync_index
from services.mover.repository.packlisting import PackListing
from services.mover.repository.packreader import check_hash, damaged_blobs
from services.mover.repository.parallel import for_each
from services.mover.repository.plans import listed_plans
from services.mover.repository.pointcheck import PointChecker
from services.mover.repository.points import exists, listed_points
from services.mover.repository.sampling import Sample, Sampled, picked
from services.mover.repository.store import Store, StoredObject, borrowed
from services.mover.repository.uncovering import (
    bring_back_header,
    bring_back_keys,
    bring_back_points,
    brought_back,
)

PACKS_NOT_LISTED = "PACKS_NOT_LISTED"
_KINDS = {POINTS: "point", TRASH: "point", CHECKPOINTS: "checkpoint", PLANS: "plan"}
_EVERYWHERE = (PACKS, INDEX, *_KINDS)
_MOST_PACKS = 6
"""So many are held in memory at a time, of 32 MiB as a rule."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A damaged object and the restore points that cannot be restored completely because of it."""

    object: str
    problem: str
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification saw. Sizes in bytes.

    A ``sample`` calls no point sound: what it did not read may be damaged.
    """

    findings: tuple[Finding, ...]
    sound_points: tuple[str, ...]
    damaged_points: tuple[str, ...]
    checked_objects: int
    checked_bytes: int
    sampled: Sampled | None = None
    notices: tuple[tuple[str, str], ...] = ()
    """Code and sentence of what was hidden, and of what an earlier verification had read."""
    resumed_bytes: int = 0
    """Of ``checked_bytes``, those that an earlier verification, which did not end, had read."""


@dataclass
class _Tally:
    objects: int = 0
    size: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    lost: set[tuple[bytes, bytes]] = field(default_factory=set)
    """(pack, blob) of copies that do not decode."""
    notices: list[tuple[str, str]] = field(default_factory=list)
    resumed: int = 0
    """Bytes that an earlier verification had read."""


def scrub(store: Store) -> Iterator[Finding]:
    """Every stored object against its name or checksum; needs no key."""
    for prefix in _EVERYWHERE:
        for stored in store.list(prefix):
            try:
                _check_without_key(prefix, stored.name, store.get(stored.name))
            except (DataLoss, NotFound) as error:
                yield Finding(stored.name, error.message)


def verify(
    context: Context,
    *,
    full: bool,
    sample: Sample | None,
    workers: int | None,
    listener: Callable[[int, int], None] | None,
    cancel: threading.Event | None,
    notes: Path | None = None,
) -> Verification:
    """Scrub everything, decode every blob when ``full``, and walk the maps of all points.

    ``notes`` is a file, one for each depth, in which is kept how far it is: killed or cancelled, the next one
    does not read again what was whole within a week, and says so. A sample is not gone on with.

    What somebody only hid is uncovered, where that may be done, and looked at like everything else.
    Of packs that are there a ``sample`` reads some, and those known to be damaged; of everything else all.
    Damaged packs are recorded, so that deduplication ignores them at once. ``listener`` hears of objects and
    bytes checked so far.
    """
    workers = workers or threads(most=_MOST_PACKS)
    tally = _Tally()
    bring_back_points(context, tally.notices)
    points = listed_points(context)
    sync_index(context)
    lock = threading.Lock()

    def check_wanted() -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled(
                "The verification was cancelled.",
                reason="VERIFY_CANCELLED",
                hint="Start it again: one of everything goes on where this one was.",
            )

    def check(prefix: str, stored: StoredObject) -> None:
        check_wanted()
        problem, lost = _check_object(context, prefix, stored, full=full)
        with lock:
            tally.objects += 1
            tally.size += stored.size
            tally.lost |= lost
            if problem is not None:
                tally.problems[stored.name] = problem
            elif (info := info_of(stored.name)) is not None:
                checked.add(info.sha256, stored.size)
        if listener is not None:
            listener(tally.objects, tally.size)

    read, sampled = set[bytes](), None
    with (
        PackListing() as present,
        CheckedPacks(notes if sample is None else None, context.time.now()) as checked,
    ):
        suspects = set(recorded_damage(context.store))

        def listed(prefix: str) -> Iterator[StoredObject]:
            for stored in context.store.list(prefix):
                if (info := info_of(stored.name)) is not None:
                    present.note([(info.sha256, info.kind, stored.size)])
                    if info.sha256 not in suspects and checked.knows(info.sha256, stored.size):
                        with lock:
                            tally.objects += 1
                            tally.size += stored.size
                            tally.resumed += stored.size
                        continue
                yield stored

        for prefix in _EVERYWHERE:
            if prefix == PACKS and sample is not None:
                check_all = partial(for_each, work=partial(check, prefix), workers=workers)
                sampled, read = _read_sample(context, sample, listed(prefix), present, check_all)
            else:
                for_each(listed(prefix), partial(check, prefix), workers)
        _look_for_gone(context, tally, present, check)
        _quarantine(context, tally)

        def was_read(pack: bytes) -> bool:
            if sample is not None:
                return pack in read
            sizes = present.sizes([pack])
            return pack in sizes and (pack in suspects or not checked.knows(pack, sizes[pack]))

        _release(context, tally, was_read)
        if problem := bring_back_header(context, tally.notices):
            tally.problems[HEADER] = problem
        bring_back_keys(context, tally.notices)
        if tally.resumed:
            text = f"{tally.resumed} bytes of packs were not read again: a verification that did not end"
            text += f" found them whole, {checked.began.isoformat()} at the earliest."
            tally.notices.append(("VERIFY_RESUMED", text))
        found = _judge_points(context, points, tally, check_wanted)
        if found.damaged_points:
            _look_for_strangers(context, tally, present)
        checked.forget()
    found = replace(found, notices=tuple(tally.notices), resumed_bytes=tally.resumed)
    return found if sampled is None else replace(found, sound_points=(), sampled=sampled)


def _read_sample(
    context: Context,
    sample: Sample,
    stored: Iterator[StoredObject],
    present: PackListing,
    check_all: Callable[[Iterable[StoredObject]], None],
) -> tuple[Sampled, set[bytes]]:
    """How much was read, and which packs of those known to be damaged.

    ``present`` has the packs of ``stored`` when that has been gone through. Whatever is no pack is looked at
    anyway, to be named.
    """
    damaged, again, others = set(recorded_damage(context.store)), dict[bytes, StoredObject](), []
    for each in stored:
        info = info_of(each.name)
        if info is None:
            others.append(each)
        elif info.sha256 in damaged:
            again[info.sha256] = each
    part, next_start = picked(present, sample)
    packs = size = 0

    def chosen() -> Iterator[StoredObject]:
        nonlocal packs, size
        news = (StoredObject(pack.name, pack.size) for pack in part if pack.sha256 not in again)
        for each in chain(again.values(), news):
            packs, size = packs + 1, size + each.size
            yield each

    check_all(chain(others, chosen()))
    return Sampled(packs, present.total()[0], size, present.total()[1], next_start), set(again)


def _look_for_gone(
    context: Context, tally: _Tally, seen: PackListing, check: Callable[[str, StoredObject], None]
) -> None:
    """What is gone is damage, unless it was pruned or removed in the meantime, as its name is then too.

    What is only hidden is uncovered, and looked at.
    """
    sync_index(context)
    plans = listed_plans(context)
    for batch in context.index.pack_batches():
        there = seen.sizes([indexed.pack.sha256 for indexed in batch])
        for pack in (indexed.pack for indexed in batch):
            if pack.sha256 in there or plans.hides(pack.sha256) or exists(context, pack.name):
                continue
            if problem := brought_back(context, pack.name, tally.notices):
                tally.problems[pack.name] = problem
            else:
                back = StoredObject(pack.name, context.store.size(pack.name))
                seen.note([(pack.sha256, pack.kind, back.size)])
                check(PACKS, back)
    for name in list(tally.problems):
        info = info_of(name)
        expected = (
            info is not None and context.index.known_packs([info.sha256]) and not plans.hides(info.sha256)
        )
        if not expected and not exists(context, name):
            del tally.problems[name]


def _look_for_strangers(context: Context, tally: _Tally, seen: PackListing) -> None:
    """When points lack something it may be in packs that no segment lists."""
    strangers = 0
    for batch in seen.batches():
        strangers += len(batch) - len(context.index.known_packs([pack.sha256 for pack in batch]))
    if strangers:
        text = f"{strangers} packs are in no index segment. If segments are lost, and these packs are of no"
        text += " backup under way, points are whole again after `xenkeep repo rebuild`."
        tally.notices.append((PACKS_NOT_LISTED, text))


def _check_object(
    context: Context, prefix: str, stored: StoredObject, *, full: bool
) -> tuple[str | None, set[tuple[bytes, bytes]]]:
    try:
        pack = info_of(stored.name)
        if pack is None:
            _check_without_key(prefix, stored.name, context.store.get(stored.name))
            return None, set()
        with borrowed(context.store, stored) as data:
            check_hash(stored.name, data)
            bad = list(damaged_blobs(context.keys, stored.name, data)) if full else []
        return bad[0][1] if bad else None, {(pack.sha256, id_) for id_, _ in bad}
    except (DataLoss, NotFound) as error:
        return error.message, set()


def _check_without_key(prefix: str, name: str, data: bytes) -> None:
    if prefix == PACKS:
        check_hash(name, data)
    elif prefix == INDEX:
        if hashlib.sha256(data).hexdigest() != name.removeprefix(INDEX):
            raise damaged(name, "its content is not what its name says")
    elif not (prefix == POINTS and looks_like_revocation(data)):
        parse_envelope(data, _KINDS[prefix], name)


def _quarantine(context: Context, tally: _Tally) -> None:
    """Record damaged packs, and find out which of their blobs are really lost."""
    packs = {name: pack for name in tally.problems if (pack := info_of(name)) is not None}
    for name, pack in packs.items():
        context.report_if_writable(pack, tally.problems[name])
    for record in records_of(context, {pack.sha256: pack.kind for pack in packs.values()}):
        for id_ in {entry.id for entry in record.entries}:
            for location in context.index.find([id_]).get(id_, ()):
                if location.pack.sha256 == record.sha256:
                    try:
                        context.reader.read_copy(location)
                    except DataLoss:
                        tally.lost.add((record.sha256, id_))


def _release(context: Context, tally: _Tally, was_read: Callable[[bytes], bool]) -> None:
    """Forget damage records of packs that were read, and whose bytes are what their names say after all."""
    damaged_packs = {info.sha256 for name in tally.problems if (info := info_of(name))}
    for sha256 in list(recorded_damage(context.store)):
        if sha256 in damaged_packs or not was_read(sha256):
            continue
        try:
            require_writable(context.store, context.header)
            forget_damage(context.store, sha256)
        except (NotFound, PermissionDenied, FailedPrecondition) as error:
            context.on_notice("DAMAGE_RECORD_KEPT", f"{error.message} The pack {sha256.hex()} is whole.")
    context.index.mark_damaged(recorded_damage(context.store))


def _judge_points(
    context: Context, points: list[str], tally: _Tally, check_wanted: Callable[[], None]
) -> Verification:
    blame: dict[str, list[str]] = {name: [] for name in tally.problems}
    sound, bad = [], []
    with PointChecker(context, tally.lost) as checker:
        for point_id in points:
            check_wanted()
            culprits = checker.culprits(point_id)
            if not culprits:
                sound.append(point_id)
                continue
            if not exists(context, point_name(point_id)):
                continue  # deleted in the meantime
            bad.append(point_id)
            for name, problem in culprits.items():
                tally.problems.setdefault(name, problem)
                blame.setdefault(name, []).append(point_id)
    findings = [Finding(name, tally.problems[name], tuple(blame[name])) for name in sorted(blame)]
    return Verification(tuple(findings), tuple(sound), tuple(bad), tally.objects, tally.size)
