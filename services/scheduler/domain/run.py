"""A run: one execution of a policy, a backup by hand, or a restore."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from services.chassis.errors import FailedPrecondition
from services.scheduler.domain.capture import Capture
from services.scheduler.domain.care import PATIENCE
from services.scheduler.domain.groups import Grouping
from services.scheduler.domain.notes import Failure, Notice
from services.scheduler.domain.policy import Limits, Method, RetryRule, Selector
from services.scheduler.domain.pool_metadata import PoolMetadata
from services.scheduler.domain.task import Task, TaskState, cancel_asked


class RunState(Enum):
    """PENDING selects its VMs, RUNNING has tasks under way; the others are ends."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (RunState.PENDING, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """Execute a policy; ``full`` reads everything even where an incremental is possible."""

    policy_id: str
    full: bool = False


@dataclass(frozen=True, slots=True)
class BackupRun:
    """Back VMs (name, UUID or resource name) up without a policy, as a ``group`` at one moment, and pools'
    metadata."""

    vms: tuple[str, ...]
    repository: str
    method: Method = Method.NORMAL
    full: bool = False
    capture: Capture = field(default_factory=Capture)
    group: bool = False
    pool_metadata: PoolMetadata | None = None


class PlacementMode(Enum):
    """As a new VM beside whatever exists, or over the original."""

    NEW_VM = "new_vm"
    ORIGINAL = "original"


class RestoredMemory(Enum):
    """What becomes of the memory in a restore point; DEFAULT is WITH, but not for domain controllers."""

    DEFAULT = "default"
    WITH = "with"
    WITHOUT = "without"


@dataclass(frozen=True, slots=True)
class Placement:
    """How a VM is put back; an empty ``pool`` is the one it came from. ``vm_snapshot`` is the UUID of a
    snapshot of the VM's own to make a VM of."""

    pool: str = ""
    sr: str = ""
    mode: PlacementMode = PlacementMode.NEW_VM
    vm_display_name: str = ""
    keep_mac_addresses: bool = False
    start: bool = False
    memory: RestoredMemory = RestoredMemory.DEFAULT
    key_material: bool = False
    vm_snapshot: str = ""


@dataclass(frozen=True, slots=True)
class RestoreRun:
    """Put one restore point back; ``point`` is its UUID or the beginning of it, as it was asked for."""

    point: str
    placement: Placement = field(default_factory=Placement)


RunSpec = PolicyRun | BackupRun | RestoreRun


@dataclass(frozen=True, slots=True)
class BackupTerms:
    """What a backup does, fixed when the run is created: later changes of the policy change later runs.

    ``repository`` is as asked for until the VMs are selected, then ``repositories/{repository}``; ``site`` is
    known from then on.
    """

    selector: Selector
    repository: str
    method: Method
    full: bool
    policy_id: str = ""
    retry: RetryRule = field(default_factory=RetryRule)
    limits: Limits = field(default_factory=Limits)
    site: str = ""
    capture: Capture = field(default_factory=Capture)
    grouping: Grouping = field(default_factory=Grouping)
    pool_metadata: PoolMetadata | None = None


@dataclass(frozen=True, slots=True)
class RestoreTerms:
    """What a restore does; ``placement.pool`` is ``pools/{pool}`` and ``site`` known once it has started."""

    point_id: str
    display_name: str
    repository: str
    placement: Placement
    retry: RetryRule = field(default_factory=RetryRule)
    limits: Limits = field(default_factory=Limits)
    site: str = ""


Terms = BackupTerms | RestoreTerms


@dataclass(frozen=True, slots=True)
class Run:
    """``try_time`` is when selecting is tried (again) while PENDING; ``tries`` how often it was."""

    run_id: str
    spec: RunSpec
    terms: Terms
    create_time: datetime
    request_id: str = ""
    state: RunState = RunState.PENDING
    tasks: tuple[Task, ...] = ()
    end_time: datetime | None = None
    failure: Failure | None = None
    activity: str = ""
    notices: tuple[Notice, ...] = ()
    firings_left_out: int = 0
    cancel_requested: bool = False
    try_time: datetime | None = None
    tries: int = 0

    @property
    def policy_id(self) -> str:
        return self.spec.policy_id if isinstance(self.spec, PolicyRun) else ""


def begun(run: Run, terms: Terms, tasks: tuple[Task, ...], now: datetime) -> Run:
    """The VMs are selected. Without any task to do the run has failed (``settled``)."""
    if run.state is not RunState.PENDING:
        raise ValueError(f"run {run.run_id} is {run.state.value}, not pending")
    begun = replace(run, state=RunState.RUNNING, terms=terms, tasks=tasks, activity="", try_time=None)
    return settled(begun, now)


def refused(run: Run, failure: Failure, now: datetime) -> Run:
    """It could not start."""
    return replace(run, state=RunState.FAILED, failure=failure, end_time=now, activity="", try_time=None)


def postponed(run: Run, activity: str, try_time: datetime) -> Run:
    """Selecting must wait; it stays PENDING and says what for."""
    return replace(run, activity=activity, try_time=try_time, tries=run.tries + 1)


def firing_left_out(run: Run, due: datetime) -> Run:
    """Its policy was due again while it had not ended. However often: one notice, which counts."""
    count = run.firings_left_out + 1
    which = f"The firing of {due:%Y-%m-%d %H:%M UTC} was" if count == 1 else f"{count} firings were"
    last = "" if count == 1 else f", the last of {due:%Y-%m-%d %H:%M UTC}"
    notice = Notice("FIRING_SKIPPED", f"{which} left out because this run had not ended{last}.")
    others = tuple(each for each in run.notices if each.code != notice.code)
    return replace(run, notices=(*others, notice), firings_left_out=count)


def with_task(run: Run, task: Task, now: datetime) -> Run:
    """The run with this task in place of its earlier self; it ends when that was the last one."""
    tasks = tuple(task if each.task_id == task.task_id else each for each in run.tasks)
    return settled(replace(run, tasks=tasks), now)


def cancel(run: Run, now: datetime) -> Run:
    """Asked to stop; a second time changes nothing. Raises FailedPrecondition RUN_ENDED."""
    if run.state.ended:
        raise FailedPrecondition(
            f"The run {run.run_id} has ended ({run.state.value}): there is nothing to cancel.",
            reason="RUN_ENDED",
            hint="Look at what it did with its tasks.",
            metadata={"run": f"runs/{run.run_id}"},
        )
    if run.state is RunState.PENDING:
        return replace(
            run,
            state=RunState.CANCELLED,
            cancel_requested=True,
            end_time=now,
            activity="",
            try_time=None,
        )
    tasks = tuple(cancel_asked(task, now) for task in run.tasks)
    return settled(replace(run, cancel_requested=True, tasks=tasks), now)


def settled(run: Run, now: datetime) -> Run:
    """RUNNING until every task has ended; then FAILED, CANCELLED or SUCCEEDED, the first that applies.

    A run that did nothing at all has failed: "all VMs are gone" must not look like a good night.
    """
    if run.state is not RunState.RUNNING or not all(task.state.ended for task in run.tasks):
        return run
    states = {task.state for task in run.tasks}
    ended = replace(run, end_time=now, activity="")
    if TaskState.FAILED in states:
        return replace(ended, state=RunState.FAILED)
    if TaskState.CANCELLED in states:
        return replace(ended, state=RunState.CANCELLED)
    if TaskState.SUCCEEDED in states:
        return replace(ended, state=RunState.SUCCEEDED)
    skipped = [task for task in run.tasks if task.hindered_since is not None]
    failure = _all_skipped(len(skipped)) if skipped else NOTHING_SELECTED
    return replace(ended, state=RunState.FAILED, failure=failure)


def patience_of(run: Run) -> timedelta:
    """How long its VMs wait for a pool that cannot take their snapshots now."""
    patience = run.terms.capture.care.patience if isinstance(run.terms, BackupTerms) else timedelta(0)
    return patience or PATIENCE


def _all_skipped(count: int) -> Failure:
    return Failure(
        "ResourceExhausted",
        "ALL_SKIPPED",
        f"Nothing was backed up: the pool could not bear the snapshots of {count} VMs in time.",
        "The tasks say why; let it coalesce, free space, or let the policy wait longer.",
    )


NOTHING_SELECTED = Failure(
    "FailedPrecondition",
    "NOTHING_SELECTED",
    "No VM that exists was selected: nothing was backed up.",
    "Check the pool, the names and the tags of the policy against the list of VMs.",
)
