"""A transfer and what may happen to it. Every change is a pure function from one state to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.chassis.errors import InvalidInput
from services.mover.domain.capture import Failure, Method, Remark
from services.mover.domain.copying import Copied, Copy, Heal, Healed
from services.mover.domain.placement import Placement
from services.mover.domain.point import Damage, Point


class State(StrEnum):
    """Where a transfer stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
MOST_GRACE = timedelta(days=3650)
MOST_CONNECTIONS = 16
"""What a host's NBD server takes from everybody at once (xapi-nbd)."""


class Compression(StrEnum):
    """How hard a backup compresses; UNKNOWN is a word of a newer release."""

    FAST = "fast"
    NORMAL = "normal"
    HIGH = "high"
    UNKNOWN = "unknown"


ZSTD_LEVELS: Mapping[Compression, int] = {Compression.FAST: -3, Compression.NORMAL: 1, Compression.HIGH: 6}


@dataclass(frozen=True, slots=True)
class Backup:
    """``vm`` is ``pools/{pool}/vms/{vm}``; ``connections`` per disk, 0 for the default.

    ``options`` is what the policy says about the capture, ``group`` which VMs share its moment:
    handed to the hypervisor service as they came.
    ``skips_failed_disks``: part of it, that a disk which cannot be read does not fail the others.
    ``compression`` too; None leaves it to the mover.
    """

    vm: str
    repository_id: str
    method: Method
    full: bool = False
    policy: str = ""
    run: str = ""
    connections: int = 0
    options: bytes = b""
    group: bytes = b""
    skips_failed_disks: bool = False
    compression: Compression | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.connections <= MOST_CONNECTIONS:
            raise InvalidInput(
                f"A disk cannot be read over {self.connections} connections.",
                reason="CONNECTIONS_INVALID",
                hint=f"Ask for 1 to {MOST_CONNECTIONS}, or 0 for the default.",
            )


@dataclass(frozen=True, slots=True)
class PoolBackup:
    """A pool's metadata, ``hosts`` with the files of its hosts; ``pool`` is ``pools/{pool}``."""

    pool: str
    repository_id: str
    hosts: bool = False
    policy: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Restore:
    """A point put back into a pool."""

    repository_id: str
    point_id: str
    placement: Placement


@dataclass(frozen=True, slots=True)
class Verify:
    """``full`` decodes every chunk; otherwise objects are compared with their names.

    ``share`` of the packs, ``packs`` of them at most, are read; 0 sets no limit, both 0 read all.
    """

    repository_id: str
    full: bool
    share: float = 0.0
    packs: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and self.packs >= 0):
            raise InvalidInput(
                f"A verification cannot read {self.share:.0%} and {self.packs} packs.",
                reason="SAMPLE_INVALID",
                hint="Ask for a share above 0 and up to 100 %, for a number of packs, or both.",
            )

    @property
    def is_sample(self) -> bool:
        return bool(self.share or self.packs)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much a verification by sample read, and of how much; the next one begins at ``next_start``."""

    checked_packs: int
    packs: int
    checked_bytes: int
    pack_bytes: int
    next_start: str


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The index made again from the packs."""

    repository_id: str


@dataclass(frozen=True, slots=True)
class Prune:
    """What no point needs goes. ``grace``: how long deleted points stay; None for what the mover has.

    What is sealed with data keys of epochs up to ``retire_through`` is stored again under the current one.
    """

    repository_id: str
    dry_run: bool = False
    grace: timedelta | None = None
    retire_through: int = 0

    def __post_init__(self) -> None:
        if self.grace is not None and not timedelta() <= self.grace <= MOST_GRACE:
            raise InvalidInput(
                f"Deleted points cannot stay for {self.grace.total_seconds():.0f} seconds.",
                reason="GRACE_INVALID",
                hint=f"Ask for 0 to {MOST_GRACE.days} days.",
            )


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune deleted; of a dry run, what it would. Sizes in bytes."""

    deleted_packs: int
    deleted_bytes: int
    repacked_packs: int
    stored_bytes: int
    waiting_packs: int
    waiting_points: tuple[str, ...]
    revoked_points: tuple[str, ...]
    purged_points: tuple[str, ...]
    locked_packs: int = 0
    locked_bytes: int = 0
    locked_until: datetime | None = None
    retired_epochs: tuple[int, ...] = ()
    old_epoch_packs: int = 0


Spec = Backup | PoolBackup | Restore | Verify | Rebuild | Prune | Copy | Heal


@dataclass(frozen=True, slots=True)
class Progress:
    """``total_bytes`` is 0 while not known; ``done_bytes`` counts what earlier attempts did and need not be
    done again, ``read_bytes`` and ``stored_bytes`` all that was moved in all attempts.
    """

    total_bytes: int = 0
    done_bytes: int = 0
    read_bytes: int = 0
    stored_bytes: int = 0
    activity: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came out; fields that do not fit the kind of transfer are empty."""

    point: Point | None = None
    vm: str = ""
    damages: tuple[Damage, ...] = ()
    checked_objects: int = 0
    checked_bytes: int = 0
    notices: tuple[Remark, ...] = ()
    resumed_from_bytes: int = 0
    seconds: float = 0.0
    pruned: Pruned | None = None
    copied: Copied | None = None
    healed: Healed | None = None
    coverage: Coverage | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """One movement of data. ``cancel_requested`` is kept until the mover that has it acts on it."""

    transfer_id: str
    spec: Spec
    create_time: datetime
    state: State = State.QUEUED
    progress: Progress = field(default_factory=Progress)
    result: Result | None = None
    failure: Failure | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    attempt: int = 0
    cancel_requested: bool = False

    @property
    def ended(self) -> bool:
        return self.state in FINAL

    def taken_up(self, now: datetime) -> "Transfer":
        """A mover begins, or goes on after one died."""
        return replace(self, state=State.RUNNING, attempt=self.attempt + 1, start_time=self.start_time or now)

    def asked_to_stop(self) -> "Transfer":
        return replace(self, cancel_requested=True)

    def moved_on(self, progress: Progress) -> "Transfer":
        return replace(self, progress=progress)

    def succeeded(self, result: Result, now: datetime) -> "Transfer":
        seconds = (now - (self.start_time or now)).total_seconds()
        return replace(self, state=State.SUCCEEDED, result=replace(result, seconds=seconds), end_time=now)

    def failed(self, failure: Failure, now: datetime) -> "Transfer":
        return replace(self, state=State.FAILED, failure=failure, end_time=now)

    def cancelled(self, now: datetime) -> "Transfer":
        return replace(self, state=State.CANCELLED, end_time=now)
