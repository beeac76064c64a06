"""What a place says of itself, and what is seen of that: its room, file system, clock, versions, locks."""

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from services.chassis.errors import FailedPrecondition, PermissionDenied, XenkeepError
from services.mover.repository.format.names import DELETED, HEADER, POINTS
from services.mover.repository.probing import (
    FileSystemStore,
    LockTryingStore,
    ProbeReport,
    StoreFacts,
    TellingStore,
    Verdict,
)
from services.mover.repository.store import HidingStore, LockingStore, Store

_LITTLE_BYTES: Final = 1 << 30
_FORGETTING: Final = frozenset({"tmpfs", "ramfs"})
_CLOCK: Final = timedelta(minutes=1)
_TRIAL: Final = timedelta(seconds=4)


def tell_room(store: Store, report: ProbeReport) -> None:
    """Nothing of a store that cannot tell."""
    free = store.free_bytes()
    if free is None:
        return
    if free < _LITTLE_BYTES:
        report.add("room", Verdict.LIMITED, f"Only {free >> 20} MiB are free: a backup soon finds no room.")
    else:
        report.add("room", Verdict.GOOD, f"{free >> 30} GiB are free.")


def tell_file_system(store: Store, report: ProbeReport) -> None:
    """Whether files outlive the machine's running; nothing of a store that has no file system."""
    kind = store.file_system() if isinstance(store, FileSystemStore) else None
    if kind in _FORGETTING:
        text = f"A {kind} is memory: all that is written here is gone when the machine stops."
        report.add("durability", Verdict.BAD, text)


def tell_facts(
    store: Store,
    name: str,
    report: ProbeReport,
    now: Callable[[], datetime],
    pause: Callable[[float], None],
) -> None:
    """``name`` is what may be locked for a moment."""
    facts = store.facts() if isinstance(store, TellingStore) else None
    if facts is None:
        return
    _clock(facts, report)
    _versioning(facts, report)
    if not any(finding.check == "object-lock" for finding in report.findings):
        _locks(store, name, facts, report, now, pause)
    if facts.versioned is not False and isinstance(store, HidingStore):
        _hidden(store, store, report)


def _clock(facts: StoreFacts, report: ProbeReport) -> None:
    report.clock_ahead = facts.clock_ahead
    if facts.clock_ahead is None:
        return
    off = abs(facts.clock_ahead)
    report.add(
        "clock",
        Verdict.GOOD if off <= _CLOCK else Verdict.LIMITED,
        f"The store's clock and this machine's differ by {off.total_seconds():.0f} s."
        + ("" if off <= _CLOCK else " Set both by NTP: beyond some minutes requests are refused."),
    )


def _versioning(facts: StoreFacts, report: ProbeReport) -> None:
    verdict, text = {
        True: (Verdict.LIMITED, "The bucket keeps old versions: deleting frees no space until they expire."),
        False: (Verdict.GOOD, "The bucket keeps no old versions: what is deleted is gone."),
        None: (Verdict.LIMITED, f"Whether the bucket keeps old versions is not known: {facts.untold}"),
    }[facts.versioned]
    report.add("versioning", verdict, text)


def _locks(
    store: Store,
    name: str,
    facts: StoreFacts,
    report: ProbeReport,
    now: Callable[[], datetime],
    pause: Callable[[float], None],
) -> None:
    wanted = isinstance(store, LockingStore) and store.lock_period is not None
    if facts.object_lock is None:
        text = f"Whether the bucket can lock objects is not known: {facts.untold}"
        report.add("object-lock", Verdict.BAD if wanted else Verdict.LIMITED, text)
        return
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
            pause(max(0.0, (until - now() - (facts.clock_ahead or timedelta())).total_seconds() + 1))
    else:
        failed = "is deleted" if not trial.refuses_deletion else "has its lock shortened"
        text = f"The bucket says that it locks objects, and an object that was locked {failed} all the same."
        report.add("object-lock", Verdict.BAD if wanted else Verdict.LIMITED, text)
    with contextlib.suppress(XenkeepError):  # a later probe removes it
        store.delete(name)


def _hidden(hiding: HidingStore, store: Store, report: ProbeReport) -> None:
    """Of the header and restore points alone: a verification looks for packs that are needed."""
    try:
        points = {each.name.removeprefix(POINTS) for each in hiding.hidden(POINTS)}
        headless = any(each.name == HEADER for each in hiding.hidden(HEADER))
        points -= {each.name.removeprefix(DELETED) for each in store.list(DELETED)}
    except (PermissionDenied, FailedPrecondition) as error:
        text = f"Whether somebody hides objects under delete markers is not known: {error.message}"
        report.add("hidden", Verdict.LIMITED, text)
        return
    if headless:
        text = (
            "The header of a repository is hidden under a delete marker: remove the marker with the server's"
            " own tools, or let `xenkeep repo repair-header` write it again; and find out who deletes here."
        )
        report.add("hidden", Verdict.BAD, text)
    elif points:
        text = (
            f"{len(points)} restore points are hidden under delete markers without a record of a deletion:"
            " remove the markers with the server's own tools, and find out who deletes here."
        )
        report.add("hidden", Verdict.LIMITED, text)
    else:
        report.add("hidden", Verdict.GOOD, "No restore point is hidden but by a deletion with a record.")
