"""A policy as people write it."""

from datetime import timedelta
from typing import Literal

from google.protobuf.duration_pb2 import Duration
from pydantic import Field, model_validator

from xenkeep.cli.files import FileModel
from xenkeep.common.v1 import capture_pb2
from xenkeep.scheduler.v1 import policy_pb2


class Retry(FileModel):
    """``delay`` is ISO 8601 (PT5M) or HH:MM:SS."""

    retries: int = Field(default=0, ge=0, le=20)
    delay: timedelta = timedelta(minutes=5)


class Limits(FileModel):
    """0 takes the default."""

    tasks_per_run: int = Field(default=0, ge=0, le=1000)
    tasks_per_host: int = Field(default=0, ge=0, le=100)
    connections_per_disk: int = Field(default=0, ge=0, le=16)
    tasks_per_sr: int = Field(default=0, ge=0, le=64)


class Offline(FileModel):
    """For the method offline. ``shutdown_deadline`` is ISO 8601 or HH:MM:SS; 0 takes 5 minutes."""

    shutdown_deadline: timedelta = timedelta(0)
    force: bool = False
    stay_off: bool = False


class Quiesce(FileModel):
    """For the method quiesced."""

    requirement: Literal["require", "prefer"] = "require"


class Memory(FileModel):
    """For the method memory. ``domain_controllers``: also of VMs that seem to be one."""

    requirement: Literal["require", "prefer"] = "require"
    domain_controllers: bool = False


class Hook(FileModel):
    """Called over HTTPS; ``deadline`` 0 takes 60 seconds."""

    url: str
    moment: Literal["before_snapshot", "after_snapshot"] = "before_snapshot"
    deadline: timedelta = timedelta(0)
    optional: bool = False


class Disks(FileModel):
    """Rules: ``device:0``, ``name:<glob>``, ``tag:<tag>``, ``sr:<name or UUID>``, ``larger-than:<bytes>``."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Reading(FileModel):
    """Disks whose changed blocks are not tracked, and disks that cannot be read."""

    without_tracking: Literal["keep_snapshot", "read_all"] = "keep_snapshot"
    disk_failures: Literal["fail", "skip"] = "fail"


class Care(FileModel):
    """Regard for the pool. ``patience`` is ISO 8601 or HH:MM:SS; 0 takes 30 minutes."""

    patience: timedelta = timedelta(0)
    migration: Literal["follow", "block"] = "follow"


class Group(FileModel):
    """VMs of the policy that are captured at one moment, for instance the servers of one application."""

    name: str
    vms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class PoolMetadata(FileModel):
    """Saved of the pool, or of all pools; ``hosts`` with the files of their hosts."""

    hosts: bool = False


class PolicyFile(FileModel):
    """One policy."""

    name: str
    repository: str
    pool: str = ""
    vms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    all: bool = False
    templates: bool = False
    exclude: tuple[str, ...] = ()
    method: Literal["normal", "offline", "memory", "quiesced"] = "normal"
    offline: Offline | None = None
    quiesce: Quiesce | None = None
    memory: Memory | None = None
    hooks: tuple[Hook, ...] = ()
    disks: Disks = Disks()
    group: bool = False
    groups: tuple[Group, ...] = ()
    reading: Reading = Reading()
    own_snapshots: Literal["describe", "save"] = "describe"
    pool_metadata: PoolMetadata | None = None
    care: Care = Care()
    compression: Literal["fast", "normal", "high"] | None = None
    schedule: str = ""
    time_zone: str = "UTC"
    retry: Retry = Retry()
    limits: Limits = Limits()
    paused: bool = False

    @model_validator(mode="after")
    def _selects_something(self) -> "PolicyFile":
        if not (self.vms or self.tags or self.all or self.templates or self.pool_metadata):
            raise ValueError(
                "it selects no VMs; give vms, tags, all: true or templates: true, or pool_metadata"
            )
        return self

    def to_proto(self) -> policy_pb2.Policy:
        """The policy as the scheduler takes it."""
        return policy_pb2.Policy(
            name=f"policies/{self.name}",
            selector=policy_pb2.VmSelector(
                pool=self.pool,
                vms=self.vms,
                tags=self.tags,
                all=self.all,
                excluded_vms=self.exclude,
                templates=self.templates,
            ),
            repository=self.repository,
            method=capture_pb2.Method.Value(f"METHOD_{self.method.upper()}"),
            schedule=self.schedule,
            time_zone=self.time_zone,
            retry=policy_pb2.RetryRule(
                retries=self.retry.retries, delay_duration=_duration(self.retry.delay)
            ),
            limits=policy_pb2.Limits(
                tasks_per_run=self.limits.tasks_per_run,
                tasks_per_host=self.limits.tasks_per_host,
                connections_per_disk=self.limits.connections_per_disk,
                tasks_per_sr=self.limits.tasks_per_sr,
            ),
            paused=self.paused,
            group=self.group,
            groups=[
                policy_pb2.VmGroup(display_name=each.name, vms=each.vms, tags=each.tags)
                for each in self.groups
            ],
            options=self._options(),
            pool_metadata=self._pool_metadata(),
        )

    def _pool_metadata(self) -> policy_pb2.PoolMetadata | None:
        return policy_pb2.PoolMetadata(hosts=self.pool_metadata.hosts) if self.pool_metadata else None

    def _options(self) -> capture_pb2.CaptureOptions:
        options = capture_pb2.CaptureOptions(
            hooks=map(_hook, self.hooks),
            disks=capture_pb2.DiskRules(include=self.disks.include, exclude=self.disks.exclude),
            reading=_reading(self.reading) if self.reading != Reading() else None,
            care=_care(self.care) if self.care != Care() else None,
        )
        if self.compression:
            options.compression = capture_pb2.Compression.Value(f"COMPRESSION_{self.compression.upper()}")
        if self.own_snapshots == "save":
            options.own_snapshots = capture_pb2.CaptureOptions.OWN_SNAPSHOTS_SAVE
        if self.offline:
            options.offline.CopyFrom(
                capture_pb2.OfflineOptions(
                    shutdown_deadline_duration=_duration(self.offline.shutdown_deadline),
                    force=self.offline.force,
                    stay_off=self.offline.stay_off,
                )
            )
        if self.quiesce:
            options.quiesce.requirement = capture_pb2.QuiesceOptions.Requirement.Value(
                f"REQUIREMENT_{self.quiesce.requirement.upper()}"
            )
        if self.memory:
            options.memory.domain_controllers = self.memory.domain_controllers
            options.memory.requirement = capture_pb2.MemoryOptions.Requirement.Value(
                f"REQUIREMENT_{self.memory.requirement.upper()}"
            )
        return options


def _care(care: Care) -> capture_pb2.CareOptions:
    return capture_pb2.CareOptions(
        patience_duration=_duration(care.patience),
        migration=capture_pb2.CareOptions.Migration.Value(f"MIGRATION_{care.migration.upper()}"),
    )


def _reading(reading: Reading) -> capture_pb2.ReadingOptions:
    kinds = capture_pb2.ReadingOptions
    return kinds(
        without_tracking=kinds.WithoutTracking.Value(f"WITHOUT_TRACKING_{reading.without_tracking.upper()}"),
        disk_failures=kinds.DiskFailures.Value(f"DISK_FAILURES_{reading.disk_failures.upper()}"),
    )


def _hook(hook: Hook) -> capture_pb2.CaptureHook:
    return capture_pb2.CaptureHook(
        url=hook.url,
        moment=capture_pb2.CaptureHook.Moment.Value(f"MOMENT_{hook.moment.upper()}"),
        deadline_duration=_duration(hook.deadline),
        optional=hook.optional,
    )


def _duration(time: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(time)
    return made
