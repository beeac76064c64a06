"""What a policy says about a capture beyond the method. The hypervisor service carries it out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from urllib.parse import urlsplit

from services.scheduler.domain.care import Care

MOST_HOOKS = 8
MOST_RULES = 1000
LONGEST_WAIT = timedelta(hours=2)
_RULE = re.compile(r"(device:[0-9]{1,3}|(name|tag|sr):.{1,256}|larger-than:[1-9][0-9]{0,18})")


class Requirement(Enum):
    """What to do when a guest cannot be quiesced, or its memory not be captured: fail, or take a normal
    snapshot and say so."""

    REQUIRE = "require"
    PREFER = "prefer"


class Moment(Enum):
    """When a hook is called."""

    BEFORE_SNAPSHOT = "before_snapshot"
    AFTER_SNAPSHOT = "after_snapshot"


@dataclass(frozen=True, slots=True)
class Offline:
    """A ``shutdown_deadline`` of 0 takes the default."""

    shutdown_deadline: timedelta = timedelta(0)
    force: bool = False
    stay_off: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """``domain_controllers``: also of VMs that seem to be one."""

    requirement: Requirement = Requirement.REQUIRE
    domain_controllers: bool = False


@dataclass(frozen=True, slots=True)
class Hook:
    """A call to an HTTPS server of the operator's; a ``deadline`` of 0 takes the default."""

    moment: Moment
    url: str
    deadline: timedelta = timedelta(0)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class DiskRules:
    """``device:0``, ``name:<glob>``, ``tag:<tag>``, ``sr:<name or UUID>``, ``larger-than:<bytes>``."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class WithoutTracking(Enum):
    """Of disks whose changed blocks are not tracked: keep the snapshot, or read all every time."""

    KEEP_SNAPSHOT = "keep_snapshot"
    READ_ALL = "read_all"


class DiskFailures(Enum):
    """When a disk cannot be read: the backup fails, or the others are backed up."""

    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Reading:
    """How disks are read."""

    without_tracking: WithoutTracking = WithoutTracking.KEEP_SNAPSHOT
    disk_failures: DiskFailures = DiskFailures.FAIL


class Compression(Enum):
    """How hard what was read is compressed."""

    FAST = "fast"
    NORMAL = "normal"
    HIGH = "high"


class OwnSnapshots(Enum):
    """Of snapshots that somebody took: described in the point, or their disks saved with it."""

    DESCRIBE = "describe"
    SAVE = "save"


@dataclass(frozen=True, slots=True)
class Capture:
    """What is not said is None or empty."""

    offline: Offline | None = None
    quiesce: Requirement | None = None
    hooks: tuple[Hook, ...] = ()
    disks: DiskRules = field(default_factory=DiskRules)
    memory: Memory | None = None
    reading: Reading = field(default_factory=Reading)
    care: Care = field(default_factory=Care)
    compression: Compression | None = None
    own_snapshots: OwnSnapshots = OwnSnapshots.DESCRIBE


def complaints(capture: Capture, method: str) -> Iterator[tuple[str, str]]:
    """(field, what is wrong with it); options that do not fit the method are wrong, not ignored."""
    if capture.offline is not None:
        if method != "offline":
            yield "options.offline", "fits the method offline only"
        if not timedelta(0) <= capture.offline.shutdown_deadline <= LONGEST_WAIT:
            yield "options.offline.shutdown_deadline_duration", "must be 0 seconds to two hours"
    if capture.quiesce is not None and method != "quiesced":
        yield "options.quiesce", "fits the method quiesced only"
    if capture.memory is not None and method != "memory":
        yield "options.memory", "fits the method memory only"
    if len(capture.hooks) > MOST_HOOKS:
        yield "options.hooks", f"are more than {MOST_HOOKS}"
    for hook in capture.hooks:
        if not _is_https(hook.url):
            yield "options.hooks.url", "must be an https:// URL without a user name or password in it"
        if not timedelta(0) <= hook.deadline <= LONGEST_WAIT:
            yield "options.hooks.deadline_duration", "must be 0 seconds to two hours"
    yield from capture.care.complaints()
    rules = (*capture.disks.include, *capture.disks.exclude)
    if len(rules) > MOST_RULES:
        yield "options.disks", f"has more than {MOST_RULES} rules"
    for rule in rules:
        if not _RULE.fullmatch(rule):
            yield "options.disks", f"has a rule that is none: {rule[:80]!r}"


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and url.isprintable()
        )
    except ValueError:
        return False
