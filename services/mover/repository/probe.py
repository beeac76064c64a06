"""What a store can be trusted with, found out by trying."""

import contextlib
import time as system_time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from services.chassis.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)
from services.mover.repository.format.names import PROBES
from services.mover.repository.probe_facts import tell_facts, tell_file_system, tell_room
from services.mover.repository.probing import ProbeReport, Verdict
from services.mover.repository.store import Store
from services.mover.repository.types import Entropy

_ABANDONED_S: Final = 3600
_BIG_BYTES: Final = 8 << 20
_CREATORS: Final = 4


def probe(
    store: Store,
    entropy: Entropy,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = system_time.monotonic,
    pause: Callable[[float], None] = system_time.sleep,
) -> ProbeReport:
    """Try ``store`` with objects named ``probe-``, which are removed; those of a probe that died are too.

    A lock is tried with one that ends by itself after some seconds, which ``pause`` waits for. Raises what
    opening a repository would raise: Unavailable, PermissionDenied to write, NotFound, ResourceExhausted.
    """
    report = ProbeReport(store.location)
    prefix = f"{PROBES}{int(now().timestamp()):012d}-{entropy(8).hex()}-"
    small, raced, big = prefix + "small", prefix + "raced", prefix + "big"
    content = entropy(4096)
    left = [small, raced, big]
    try:
        store.put(small, [content])
        if _create_only(store, small, content, report):
            _reads(store, small, content, report)
            _lists(store, small, len(content), report)
        if _deletes(store, small, report):
            _one_creator(store, raced, [entropy(64) for _ in range(_CREATORS)], report)
            _throughput(store, big, entropy(_BIG_BYTES), monotonic, report)
            _remove_abandoned(store, int(now().timestamp()))
        else:
            left = []
    except FailedPrecondition as error:
        if error.reason != "STORE_UNSUITABLE":
            raise
        report.add(error.metadata.get("check", "create-only"), Verdict.BAD, f"{error.message} {error.hint}")
    except (DataLoss, NotFound) as error:
        if error.reason == "STORE_MISSING":
            raise
        told = f"What was just written reads back otherwise: {error.message}"
        report.add("read-after-write", Verdict.BAD, told)
    except Unavailable:
        left = []  # nobody answers: a later probe removes what may be there
        raise
    finally:
        _remove(store, left)
    tell_room(store, report)
    tell_file_system(store, report)
    tell_facts(store, prefix + "locked", report, now, pause)
    return report


def _create_only(store: Store, name: str, content: bytes, report: ProbeReport) -> bool:
    try:
        store.put(name, [bytes(len(content))])
    except AlreadyExists:
        if store.get(name) == content:
            told = "An object that exists is kept."
            report.add("create-only", Verdict.GOOD, told)
            return True
    told = "An object that exists is overwritten: no repository is safe here."
    report.add("create-only", Verdict.BAD, told)
    return False


def _one_creator(store: Store, name: str, contents: list[bytes], report: ProbeReport) -> None:
    """Several create one name at the same moment."""

    def create(content: bytes) -> bool:
        try:
            store.put(name, [content])
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(len(contents)) as pool:
        made = [content for content, done in zip(contents, pool.map(create, contents), strict=True) if done]
    kept = store.get(name)
    if made == [kept]:
        told = f"Of {len(contents)} that create an object at once, one does: several writers are safe."
        report.add("one-creator", Verdict.GOOD, told)
        return
    told = f"Of {len(contents)} that created an object at once, {len(made)} were told that they had."
    if len(made) == 1:
        told = (
            "Of those that created an object at once, one was told that it had, and another one's is there."
        )
    report.add("one-creator", Verdict.BAD, f"{told} Two writers could destroy each other's work.")


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


def _lists(store: Store, name: str, size: int, report: ProbeReport) -> None:
    if [(found.name, found.size) for found in store.list(name)] == [(name, size)]:
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
            f" and {name} stays. Neither creating at once nor throughput was tried: that takes deletions.",
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
    try:
        store.put(name, [content])
    except ResourceExhausted as error:
        report.add("throughput", Verdict.LIMITED, f"Not measured: {error.message}")
        return
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


def _remove_abandoned(store: Store, now: int) -> None:
    for found in list(store.list(PROBES)):
        made = found.name.removeprefix(PROBES).partition("-")[0]
        if made.isascii() and made.isdigit() and now - int(made) > _ABANDONED_S:
            _remove(store, [found.name])


def _remove(store: Store, names: Iterable[str]) -> None:
    """What cannot be removed now is removed by a later probe; the report has said why it may not be."""
    for name in names:
        with contextlib.suppress(XenkeepError):
            store.delete(name)
