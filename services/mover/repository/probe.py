"""What a store can be trusted with, found out by trying."""

import time as system_time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from services.chassis.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    XenkeepError,
)
from services.mover.repository.format.names import HEADER, POINTS
from services.mover.repository.probing import LockTryingStore, ProbeReport, StoreFacts, TellingStore, Verdict
from services.mover.repository.store import HidingStore, LockingStore, Store
from services.mover.repository.types import Entropy

_FOLDER = "probe/"
_ABANDONED_S = 3600
_BIG_BYTES = 8 << 20
_CLOCK = timedelta(minutes=1)
_TRIAL = timedelta(seconds=4)


def probe(
    store: Store,
    entropy: Entropy,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = system_time.monotonic,
    pause: Callable[[float], None] = system_time.sleep,
) -> ProbeReport:
    """Try ``store`` with objects under ``probe/``, which are removed; those of a probe that died are too.

    A lock is tried with one that ends by itself after some seconds, which ``pause`` waits for. Raises what
    opening a repository would raise: Unavailable, PermissionDenied to write, NotFound.
    """
    report = ProbeReport(store.location)
    folder = f"{_FOLDER}{int(now().timestamp()):012d}-{entropy(8).hex()}/"
    name = folder + "small"
    content = entropy(4096)
    try:
        store.put(name, [content])
        if _create_only(store, name, content, report):
            _reads(store, name, content, report)
            _lists(store, folder, report)
        if _deletes(store, name, report):
            _throughput(store, folder + "big", entropy(_BIG_BYTES), monotonic, report)
            _remove_abandoned(store, int(now().timestamp()))
    except FailedPrecondition as error:
        if error.reason != "STORE_UNSUITABLE":
            raise
        report.add("create-only", Verdict.BAD, f"{error.message} {error.hint}")
    except DataLoss as error:
        told = f"What was just written reads back otherwise: {error.message}"
        report.add("read-after-write", Verdict.BAD, told)
    finally:
        for left in (name, folder + "big"):
            _remove(store, left)
    facts = store.facts() if isinstance(store, TellingStore) else None
    if facts is not None:
        _told(facts, report)
        _locks(store, folder + "locked", facts, report, now, pause)
        if facts.versioned and isinstance(store, HidingStore):
            _hidden(store, report)
    return report


def _create_only(store: Store, name: str, content: bytes, report: ProbeReport) -> bool:
    try:
        store.put(name, [bytes(len(content))])
    except AlreadyExists:
        if store.get(name) == content:
            told = "An object that exists is kept: several writers are safe."
            report.add("create-only", Verdict.GOOD, told)
            return True
    told = "An object that exists is overwritten: no repository is safe here."
    report.add("create-only", Verdict.BAD, told)
    return False


def _reads(store: Store, name: str, content: bytes, report: ProbeReport) -> None:
    whole = store.get(name) == content and store.size(name) == len(content)
    report.add(
        "read-after-write",
        Verdict.GOOD if whole else Verdict.BAD,
        "What was written is read at once." if whole else "What was just written reads back otherwise.",
    )
    part = store.get(name, 1000, 96) == content[1000:1096] and store.get(name, 4000) == content[4000:]
    report.add(
        "ranged-reads",
        Verdict.GOOD if part else Verdict.BAD,
        "A part of an object is read alone."
        if part
        else "A part that is asked for is not the part that comes.",
    )


def _lists(store: Store, folder: str, report: ProbeReport) -> None:
    if [(found.name, found.size) for found in store.list(folder)] == [(folder + "small", 4096)]:
        report.add("list-after-write", Verdict.GOOD, "A list shows what was just written.")
    else:
        report.add(
            "list-after-write",
            Verdict.LIMITED,
            "A list does not show at once what was written. Points name what they need, so nothing is lost;"
            " new points appear late.",
        )


def _deletes(store: Store, name: str, report: ProbeReport) -> bool:
    try:
        store.delete(name)
    except PermissionDenied as error:
        report.add(
            "delete",
            Verdict.LIMITED,
            f"Nothing can be deleted ({error.reason}): backups are safe from this mover, it frees no space,"
            f" and {name} stays. Throughput was not measured.",
        )
        return False
    try:
        store.size(name)
    except NotFound:
        report.add("delete", Verdict.GOOD, "Objects can be deleted: space can be freed.")
        return True
    report.add("delete", Verdict.LIMITED, "A deleted object is still there for a while.")
    return True


def _throughput(
    store: Store, name: str, content: bytes, monotonic: Callable[[], float], report: ProbeReport
) -> None:
    start = monotonic()
    store.put(name, [content])
    written = monotonic()
    whole = store.get(name) == content
    read = monotonic()
    report.write_rate = len(content) / max(written - start, 1e-6)
    report.read_rate = len(content) / max(read - written, 1e-6)
    report.add(
        "throughput",
        Verdict.GOOD if whole else Verdict.BAD,
        f"8 MiB are written in {written - start:.2f} s and read in {read - written:.2f} s."
        if whole
        else "8 MiB that were written read back otherwise.",
    )


def _told(facts: StoreFacts, report: ProbeReport) -> None:
    report.clock_ahead = facts.clock_ahead
    if facts.clock_ahead is not None:
        off = abs(facts.clock_ahead)
        report.add(
            "clock",
            Verdict.GOOD if off <= _CLOCK else Verdict.LIMITED,
            f"The store's clock and this machine's differ by {off.total_seconds():.0f} s."
            + ("" if off <= _CLOCK else " Set both by NTP: beyond some minutes requests are refused."),
        )
    report.add(
        "versioning",
        Verdict.LIMITED if facts.versioned else Verdict.GOOD,
        "The bucket keeps old versions: deleting frees no space until they expire."
        if facts.versioned
        else "The bucket keeps no old versions: what is deleted is gone.",
    )


def _locks(
    store: Store,
    name: str,
    facts: StoreFacts,
    report: ProbeReport,
    now: Callable[[], datetime],
    pause: Callable[[float], None],
) -> None:
    wanted = isinstance(store, LockingStore) and store.lock_period is not None
    if not facts.object_lock:
        verdict = Verdict.BAD if wanted else Verdict.LIMITED
        text = "The bucket cannot lock objects: whoever has these credentials can delete backups."
        report.add("object-lock", verdict, text)
        return
    if facts.locks_everything:
        text = (
            "The bucket locks whatever is put, leases too, which then pile up: remove its default retention."
        )
        report.add("default-lock", Verdict.LIMITED, text)
    if not isinstance(store, LockTryingStore):
        text = "The bucket says that it locks objects. Whether it does was not tried: that takes deletions."
        report.add("object-lock", Verdict.LIMITED, text)
        return
    until = (now() + (facts.clock_ahead or timedelta())).replace(microsecond=0) + _TRIAL
    trial = store.try_lock(name, until)
    if trial.held:
        how = (
            "Points are locked here."
            if wanted
            else "To lock points put lock=30d, or another time, into the URL."
        )
        text = f"A locked object was neither deleted nor its lock shortened. {how}"
        report.add("object-lock", Verdict.GOOD, text)
        if wanted:  # elsewhere it is hidden at once, with the other objects of the probe
            pause((until - now() - (facts.clock_ahead or timedelta())).total_seconds() + 1)
    else:
        failed = "is deleted" if not trial.refuses_deletion else "has its lock shortened"
        text = f"The bucket says that it locks objects, and an object that was locked {failed} all the same."
        report.add("object-lock", Verdict.BAD if wanted else Verdict.LIMITED, text)
    _remove(store, name)


def _hidden(store: HidingStore, report: ProbeReport) -> None:
    """Of the header and restore points alone: a verification looks for packs that are needed."""
    try:
        points = sum(1 for _ in store.hidden(POINTS))
        headless = any(each.name == HEADER for each in store.hidden(HEADER))
    except (PermissionDenied, FailedPrecondition) as error:
        text = f"Whether somebody hides objects under delete markers is not known: {error.message}"
        report.add("hidden", Verdict.LIMITED, text)
        return
    if headless:
        text = (
            "The header of a repository is hidden under a delete marker, and no Xenkeep deletes one: remove"
            " the marker with the server's own tools, and find out who deletes here."
        )
        report.add("hidden", Verdict.BAD, text)
    elif points:
        text = (
            f"{points} restore points are hidden under delete markers. Points deleted without lock= in the"
            " URL look like this; if these were not, remove the markers with the server's own tools."
        )
        report.add("hidden", Verdict.LIMITED, text)
    else:
        report.add("hidden", Verdict.GOOD, "No restore point is hidden under a delete marker.")


def _remove_abandoned(store: Store, now: int) -> None:
    for found in list(store.list(_FOLDER)):
        made = found.name.removeprefix(_FOLDER).partition("-")[0]
        if made.isascii() and made.isdigit() and now - int(made) > _ABANDONED_S:
            _remove(store, found.name)


def _remove(store: Store, name: str) -> None:
    """What cannot be removed now is removed by a later probe; the report has said why it may not be."""
    try:
        store.delete(name)
    except XenkeepError:
        return
