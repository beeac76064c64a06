"""Options of a capture on the wire."""

from google.protobuf.duration_pb2 import Duration
from xenkeep.common.v1 import capture_pb2

from services.hypervisor.domain.capture import (
    HOOK_DEADLINE_S,
    SHUTDOWN_DEADLINE_S,
    Hook,
    MemoryWish,
    Moment,
    Offline,
    Options,
    OwnSnapshots,
)
from services.hypervisor.domain.differences import WithoutTracking
from services.hypervisor.domain.disk_rules import DiskRules

_SKIP = capture_pb2.ReadingOptions.DISK_FAILURES_SKIP
_SAVE = capture_pb2.CaptureOptions.OWN_SNAPSHOTS_SAVE
_READ_ALL = capture_pb2.ReadingOptions.WITHOUT_TRACKING_READ_ALL


def options_from_proto(options: capture_pb2.CaptureOptions) -> Options:
    """0 and what is not chosen become what the contract says; nothing else is checked."""
    offline = None
    if options.HasField("offline"):
        deadline_s = _seconds(options.offline.shutdown_deadline_duration, SHUTDOWN_DEADLINE_S)
        offline = Offline(deadline_s, options.offline.force, options.offline.stay_off)
    required = None
    if options.HasField("quiesce"):
        required = options.quiesce.requirement != capture_pb2.QuiesceOptions.REQUIREMENT_PREFER
    memory = None
    if options.HasField("memory"):
        prefers = options.memory.requirement == capture_pb2.MemoryOptions.REQUIREMENT_PREFER
        memory = MemoryWish(not prefers, options.memory.domain_controllers)
    return Options(
        offline=offline,
        quiesce_required=required,
        disks=DiskRules(tuple(options.disks.include), tuple(options.disks.exclude)),
        hooks=tuple(map(_hook, options.hooks)),
        without_tracking=(
            WithoutTracking.READ_ALL
            if options.reading.without_tracking == _READ_ALL
            else WithoutTracking.KEEP_SNAPSHOT
        ),
        skips_failed_disks=options.reading.disk_failures == _SKIP,
        block_migrations=options.care.migration == capture_pb2.CareOptions.MIGRATION_BLOCK,
        memory=memory,
        own_snapshots=OwnSnapshots.SAVE if options.own_snapshots == _SAVE else OwnSnapshots.DESCRIBE,
    )


def _hook(hook: capture_pb2.CaptureHook) -> Hook:
    after = hook.moment == capture_pb2.CaptureHook.MOMENT_AFTER_SNAPSHOT
    return Hook(
        moment=Moment.AFTER_SNAPSHOT if after else Moment.BEFORE_SNAPSHOT,
        url=hook.url,
        deadline_s=_seconds(hook.deadline_duration, HOOK_DEADLINE_S),
        optional=hook.optional,
    )


def _seconds(duration: Duration, default: float) -> float:
    return duration.seconds + duration.nanos / 1e9 or default
