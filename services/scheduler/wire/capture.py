"""Options of a capture."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from xenkeep.common.v1 import capture_pb2

from services.chassis.errors import InvalidInput
from services.scheduler.domain.capture import (
    Capture,
    Compression,
    DiskRules,
    Hook,
    Memory,
    Moment,
    Offline,
    OwnSnapshots,
    Reading,
    Requirement,
)
from services.scheduler.domain.care import Care, Migration
from services.scheduler.wire.reading import reading_from_proto, reading_to_proto

_OWN_SNAPSHOTS = {capture_pb2.CaptureOptions.OWN_SNAPSHOTS_SAVE: OwnSnapshots.SAVE}


def capture_to_proto(capture: Capture) -> capture_pb2.CaptureOptions:
    options = capture_pb2.CaptureOptions(
        hooks=map(_hook_to_proto, capture.hooks),
        disks=capture_pb2.DiskRules(include=capture.disks.include, exclude=capture.disks.exclude),
    )
    if capture.care != Care():
        options.care.CopyFrom(
            capture_pb2.CareOptions(
                patience_duration=_duration(capture.care.patience),
                migration=capture_pb2.CareOptions.Migration.Value(f"MIGRATION_{capture.care.migration.name}"),
            )
        )
    if capture.offline is not None:
        options.offline.CopyFrom(
            capture_pb2.OfflineOptions(
                shutdown_deadline_duration=_duration(capture.offline.shutdown_deadline),
                force=capture.offline.force,
                stay_off=capture.offline.stay_off,
            )
        )
    if capture.quiesce is not None:
        options.quiesce.requirement = capture_pb2.QuiesceOptions.Requirement.Value(
            f"REQUIREMENT_{capture.quiesce.name}"
        )
    if capture.memory is not None:
        options.memory.CopyFrom(
            capture_pb2.MemoryOptions(
                requirement=capture_pb2.MemoryOptions.Requirement.Value(
                    f"REQUIREMENT_{capture.memory.requirement.name}"
                ),
                domain_controllers=capture.memory.domain_controllers,
            )
        )
    if capture.own_snapshots is OwnSnapshots.SAVE:
        options.own_snapshots = capture_pb2.CaptureOptions.OWN_SNAPSHOTS_SAVE
    if capture.reading != Reading():
        options.reading.CopyFrom(reading_to_proto(capture.reading))
    if capture.compression is not None:
        options.compression = capture_pb2.Compression.Value(f"COMPRESSION_{capture.compression.name}")
    return options


def capture_from_proto(options: capture_pb2.CaptureOptions) -> Capture:
    """Raises InvalidInput for durations nobody can wait and an unknown compression; not checked otherwise."""
    offline = None
    if options.HasField("offline"):
        wait = _timedelta(options.offline.shutdown_deadline_duration)
        offline = Offline(wait, options.offline.force, options.offline.stay_off)
    quiesce = None
    if options.HasField("quiesce"):
        preferred = options.quiesce.requirement == capture_pb2.QuiesceOptions.REQUIREMENT_PREFER
        quiesce = Requirement.PREFER if preferred else Requirement.REQUIRE
    return Capture(
        offline,
        quiesce,
        tuple(map(_hook_from_proto, options.hooks)),
        DiskRules(tuple(options.disks.include), tuple(options.disks.exclude)),
        _memory_from_proto(options.memory) if options.HasField("memory") else None,
        reading_from_proto(options.reading),
        care=_care_from_proto(options.care),
        compression=_compression_from_proto(options.compression),
        own_snapshots=_OWN_SNAPSHOTS.get(options.own_snapshots, OwnSnapshots.DESCRIBE),
    )


def _compression_from_proto(compression: capture_pb2.Compression.ValueType) -> Compression | None:
    if compression == capture_pb2.COMPRESSION_UNSPECIFIED:
        return None
    known = {capture_pb2.Compression.Value(f"COMPRESSION_{each.name}"): each for each in Compression}
    if compression not in known:
        raise InvalidInput(
            f"The compression {compression} is unknown to this scheduler.",
            reason="POLICY_INVALID",
            hint="Choose fast, normal or high, or run the same release of all services.",
        )
    return known[compression]


def _memory_from_proto(memory: capture_pb2.MemoryOptions) -> Memory:
    preferred = memory.requirement == capture_pb2.MemoryOptions.REQUIREMENT_PREFER
    requirement = Requirement.PREFER if preferred else Requirement.REQUIRE
    return Memory(requirement, memory.domain_controllers)


def _care_from_proto(care: capture_pb2.CareOptions) -> Care:
    blocked = care.migration == capture_pb2.CareOptions.MIGRATION_BLOCK
    return Care(_timedelta(care.patience_duration), Migration.BLOCK if blocked else Migration.FOLLOW)


def _hook_to_proto(hook: Hook) -> capture_pb2.CaptureHook:
    return capture_pb2.CaptureHook(
        moment=capture_pb2.CaptureHook.Moment.Value(f"MOMENT_{hook.moment.name}"),
        url=hook.url,
        deadline_duration=_duration(hook.deadline),
        optional=hook.optional,
    )


def _hook_from_proto(hook: capture_pb2.CaptureHook) -> Hook:
    after = hook.moment == capture_pb2.CaptureHook.MOMENT_AFTER_SNAPSHOT
    moment = Moment.AFTER_SNAPSHOT if after else Moment.BEFORE_SNAPSHOT
    return Hook(moment, hook.url, _timedelta(hook.deadline_duration), hook.optional)


def _duration(wait: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(wait)
    return made


def _timedelta(duration: Duration) -> timedelta:
    try:
        return duration.ToTimedelta()
    except (ValueError, OverflowError):
        raise InvalidInput(
            "A duration of the capture's options is out of range.",
            reason="POLICY_INVALID",
            hint="Choose 0 seconds to two hours.",
        ) from None
