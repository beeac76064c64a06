"""A policy: which VMs, how, when, where to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from services.chassis.errors import FailedPrecondition, InvalidInput
from services.scheduler.domain import capture as captures
from services.scheduler.domain import groups as groupings
from services.scheduler.domain.calendar import check_schedule, next_firing, zone_of
from services.scheduler.domain.capture import Capture
from services.scheduler.domain.groups import Grouping
from services.scheduler.domain.pool_metadata import PoolMetadata

ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
MOST_NAMES = 10_000
LONGEST_NAME = 512
MOST_RETRIES = 20
LONGEST_DELAY = timedelta(days=1)


class Method(Enum):
    """How a VM is captured."""

    NORMAL = "normal"
    OFFLINE = "offline"
    MEMORY = "memory"
    QUIESCED = "quiesced"


@dataclass(frozen=True, slots=True)
class Selector:
    """VMs of ``pool`` (of all when empty) that match any of ``vms``, ``tags``, ``all`` and no exclusion.
    ``templates`` are all own ones; one by itself is named like a VM."""

    pool: str = ""
    vms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    all: bool = False
    excluded_vms: tuple[str, ...] = ()
    templates: bool = False


@dataclass(frozen=True, slots=True)
class RetryRule:
    """A task that failed for a reason that may pass is tried ``retries`` times more, ``delay`` apart."""

    retries: int = 0
    delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once; 0 takes the default."""

    tasks_per_run: int = 0
    tasks_per_host: int = 0
    connections_per_disk: int = 0
    tasks_per_sr: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """``next_run_time`` is None when it does not run by itself."""

    policy_id: str
    selector: Selector
    repository: str
    method: Method = Method.NORMAL
    schedule: str = ""
    time_zone: str = ""
    retry: RetryRule = field(default_factory=RetryRule)
    limits: Limits = field(default_factory=Limits)
    paused: bool = False
    capture: Capture = field(default_factory=Capture)
    pool_metadata: PoolMetadata | None = None
    next_run_time: datetime | None = None
    etag: str = ""
    create_time: datetime | None = None
    grouping: Grouping = field(default_factory=Grouping)


def check(policy: Policy) -> None:
    """Raises InvalidInput: POLICY_INVALID naming everything that is wrong, or what the schedule says."""
    wrong = dict(_complaints(policy))
    if wrong:
        raise InvalidInput(
            "The policy cannot be used: " + "; ".join(f"{k} {v}" for k, v in wrong.items()) + ".",
            reason="POLICY_INVALID",
            hint="Correct these fields and try again.",
            metadata=wrong,
        )
    zone_of(policy.time_zone)
    if policy.schedule:
        check_schedule(policy.schedule)


def timed(policy: Policy, now: datetime) -> Policy:
    """The policy with the time of its first firing after ``now``."""
    if policy.paused or not policy.schedule:
        return replace(policy, next_run_time=None)
    return replace(policy, next_run_time=next_firing(policy.schedule, zone_of(policy.time_zone), after=now))


def replaced(current: Policy, wanted: Policy, now: datetime, etag: str) -> Policy:
    """What an update makes of ``current``: itself, when ``wanted`` says the same. Raises FailedPrecondition
    POLICY_CHANGED for a stale etag."""
    if wanted.etag and wanted.etag != current.etag:
        raise FailedPrecondition(
            f"The policy {current.policy_id} was changed by somebody else in the meantime.",
            reason="POLICY_CHANGED",
            hint="Read it again and repeat the change.",
            metadata={"policy": current.policy_id},
        )
    kept = replace(
        wanted, create_time=current.create_time, etag=current.etag, next_run_time=current.next_run_time
    )
    if kept == current:
        return current
    changed = replace(kept, etag=etag)
    same_times = (wanted.schedule, wanted.time_zone, wanted.paused) == (
        current.schedule,
        current.time_zone,
        current.paused,
    )
    return changed if same_times else timed(changed, now)


def _complaints(policy: Policy) -> Iterator[tuple[str, str]]:
    if not ID.fullmatch(policy.policy_id):
        yield "name", "must be 1 to 63 lower-case letters, digits and dashes, a letter first"
    selector = policy.selector
    if not (selector.vms or selector.tags or selector.all or selector.templates or policy.pool_metadata):
        yield (
            "selector",
            "selects nothing: name VMs or tags, choose all or templates, or save pools' metadata",
        )
    names = (*selector.vms, *selector.tags, *selector.excluded_vms)
    if len(names) > MOST_NAMES:
        yield "selector", f"has more than {MOST_NAMES} names; use tags"
    elif not all(0 < len(name) <= LONGEST_NAME for name in names) or len(selector.pool) > LONGEST_NAME:
        yield "selector", f"has a name that is empty or longer than {LONGEST_NAME} characters"
    if not policy.repository or len(policy.repository) > LONGEST_NAME:
        yield "repository", "must name the repository to back up to"
    if not 0 <= policy.retry.retries <= MOST_RETRIES:
        yield "retry.retries", f"must be 0 to {MOST_RETRIES}"
    if not timedelta(0) <= policy.retry.delay <= LONGEST_DELAY:
        yield "retry.delay_duration", "must be 0 seconds to one day"
    yield from captures.complaints(policy.capture, policy.method.value)
    yield from groupings.complaints(policy.grouping)
    limits = policy.limits
    for name, value, most in (
        ("tasks_per_run", limits.tasks_per_run, 256),
        ("tasks_per_host", limits.tasks_per_host, 64),
        ("connections_per_disk", limits.connections_per_disk, 16),
        ("tasks_per_sr", limits.tasks_per_sr, 64),
    ):
        if not 0 <= value <= most:
            yield f"limits.{name}", f"must be 0 (the default) to {most}"
