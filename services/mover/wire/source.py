"""Open sources and targets of the hypervisor service."""

from xenkeep.hypervisor.v1 import backup_source_pb2, restore_target_pb2

from services.mover.domain.source import Source, SourceDisk, Target, TargetDisk
from services.mover.wire.capture import (
    consistency_from_proto,
    group_from_proto,
    kind_from_proto,
    level_from_proto,
    method_from_proto,
    reason_from_proto,
    remark_from_proto,
)
from services.mover.wire.point import missing_from_proto
from services.mover.wire.times import time_from_proto
from services.mover.wire.vm_snapshots import snapshot_from_proto


def source_from_proto(source: backup_source_pb2.BackupSource) -> Source:
    return Source(
        name=source.name,
        vm=source.vm,
        vm_display_name=source.vm_display_name,
        pool_display_name=source.pool_display_name,
        method=method_from_proto(source.method),
        consistency=consistency_from_proto(source.consistency),
        snapshot_time=time_from_proto(source.snapshot_time),
        vm_configuration=source.vm_configuration,
        disks=tuple(map(_disk, source.disks)),
        notices=tuple(map(remark_from_proto, source.notices)),
        group=group_from_proto(source.group),
        missing_disks=tuple(map(missing_from_proto, source.missing_disks)),
        vm_snapshots=tuple(map(snapshot_from_proto, source.vm_snapshots)),
    )


def target_from_proto(target: restore_target_pb2.RestoreTarget) -> Target:
    return Target(
        name=target.name,
        disks=tuple(TargetDisk(disk.disk_id, disk.size_bytes) for disk in target.disks),
        vm=target.vm,
        committed=target.state == restore_target_pb2.RestoreTarget.STATE_COMMITTED,
        notices=tuple(map(remark_from_proto, target.notices)),
    )


def _disk(disk: backup_source_pb2.SourceDisk) -> SourceDisk:
    return SourceDisk(
        disk_id=disk.disk_id,
        device=disk.device,
        display_name=disk.display_name,
        size_bytes=disk.size_bytes,
        level=level_from_proto(disk.level),
        full_reason=reason_from_proto(disk.full_reason),
        full_reason_message=disk.full_reason_message,
        tracking_ref=disk.tracking_ref,
        extents_known=disk.extents_known,
        changed_bytes=disk.changed_bytes,
        base_tracking_ref=disk.base_tracking_ref,
        kind=kind_from_proto(disk.kind),
    )
