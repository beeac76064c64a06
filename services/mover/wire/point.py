"""Restore points."""

from xenkeep.common.v1 import point_pb2
from xenkeep.mover.v1 import transfer_pb2

from services.mover.domain.point import (
    Asset,
    AssetKind,
    Damage,
    MissingDisk,
    Point,
    PointDisk,
    PointStream,
    UnreadablePoint,
)
from services.mover.wire.capture import (
    consistency_from_proto,
    consistency_to_proto,
    group_from_proto,
    group_to_proto,
    kind_from_proto,
    kind_to_proto,
    level_from_proto,
    level_to_proto,
    method_from_proto,
    method_to_proto,
    reason_from_proto,
    reason_to_proto,
    remark_from_proto,
    remark_to_proto,
)
from services.mover.wire.times import time_from_proto, time_to_proto
from services.mover.wire.vm_snapshots import snapshot_from_proto, snapshot_to_proto


def point_to_proto(point: Point) -> point_pb2.Point:
    asset = point.asset
    return point_pb2.Point(
        point_id=point.point_id,
        repository_id=point.repository_id,
        asset=point_pb2.Asset(
            asset_id=asset.asset_id,
            display_name=asset.display_name,
            pool_id=asset.pool_id,
            pool_display_name=asset.pool_display_name,
            kind=point_pb2.AssetKind.Value(f"ASSET_KIND_{asset.kind.name}"),
        ),
        snapshot_time=time_to_proto(point.snapshot_time),
        commit_time=time_to_proto(point.commit_time),
        method=method_to_proto(point.method),
        level=level_to_proto(point.level),
        consistency=consistency_to_proto(point.consistency),
        base_point_id=point.base_point_id,
        disks=map(disk_to_proto, point.disks),
        logical_bytes=point.logical_bytes,
        read_bytes=point.read_bytes,
        stored_bytes=point.stored_bytes,
        notices=map(remark_to_proto, point.notices),
        policy=point.policy,
        run=point.run,
        group=group_to_proto(point.group),
        missing_disks=map(missing_to_proto, point.missing_disks),
        vm_snapshots=map(snapshot_to_proto, point.vm_snapshots),
        streams=[point_pb2.PointStream(name=each.name, size_bytes=each.size_bytes) for each in point.streams],
        compression_level=point.compression_level,
    )


def unreadable_to_proto(point: UnreadablePoint) -> point_pb2.Point:
    """What is not known is empty."""
    return point_pb2.Point(point_id=point.point_id, repository_id=point.repository_id)


def point_from_proto(point: point_pb2.Point) -> Point:
    asset = point.asset
    return Point(
        point_id=point.point_id,
        repository_id=point.repository_id,
        asset=Asset(
            asset.asset_id,
            asset.display_name,
            asset.pool_id,
            asset.pool_display_name,
            AssetKind.POOL if asset.kind == point_pb2.ASSET_KIND_POOL else AssetKind.VM,
        ),
        snapshot_time=time_from_proto(point.snapshot_time),
        commit_time=time_from_proto(point.commit_time),
        method=method_from_proto(point.method),
        level=level_from_proto(point.level),
        consistency=consistency_from_proto(point.consistency),
        base_point_id=point.base_point_id,
        disks=tuple(map(disk_from_proto, point.disks)),
        read_bytes=point.read_bytes,
        stored_bytes=point.stored_bytes,
        notices=tuple(map(remark_from_proto, point.notices)),
        policy=point.policy,
        run=point.run,
        group=group_from_proto(point.group),
        missing_disks=tuple(map(missing_from_proto, point.missing_disks)),
        vm_snapshots=tuple(map(snapshot_from_proto, point.vm_snapshots)),
        streams=tuple(PointStream(each.name, each.size_bytes) for each in point.streams),
        compression_level=point.compression_level if point.HasField("compression_level") else None,
    )


def disk_to_proto(disk: PointDisk) -> point_pb2.PointDisk:
    return point_pb2.PointDisk(
        disk_id=disk.disk_id,
        device=disk.device,
        display_name=disk.display_name,
        size_bytes=disk.size_bytes,
        level=level_to_proto(disk.level),
        full_reason=reason_to_proto(disk.full_reason),
        read_bytes=disk.read_bytes,
        changed_bytes=disk.changed_bytes,
        tracking_ref=disk.tracking_ref,
        content_root=disk.content_root,
        kind=kind_to_proto(disk.kind),
    )


def disk_from_proto(disk: point_pb2.PointDisk) -> PointDisk:
    return PointDisk(
        disk_id=disk.disk_id,
        device=disk.device,
        display_name=disk.display_name,
        size_bytes=disk.size_bytes,
        level=level_from_proto(disk.level),
        full_reason=reason_from_proto(disk.full_reason),
        read_bytes=disk.read_bytes,
        changed_bytes=disk.changed_bytes,
        tracking_ref=disk.tracking_ref,
        content_root=disk.content_root,
        kind=kind_from_proto(disk.kind),
    )


def missing_to_proto(disk: MissingDisk) -> point_pb2.MissingDisk:
    return point_pb2.MissingDisk(
        disk_id=disk.disk_id, device=disk.device, display_name=disk.display_name, message=disk.message
    )


def missing_from_proto(disk: point_pb2.MissingDisk) -> MissingDisk:
    return MissingDisk(disk.disk_id, disk.device, disk.display_name, disk.message)


def damage_to_proto(damage: Damage) -> transfer_pb2.Damage:
    return transfer_pb2.Damage(object=damage.object_name, message=damage.message, point_ids=damage.point_ids)


def damage_from_proto(damage: transfer_pb2.Damage) -> Damage:
    return Damage(damage.object, damage.message, tuple(damage.point_ids))
