"""Snapshots of a VM that a point describes."""

from xenkeep.common.v1 import point_pb2

from services.mover.domain.point import VmSnapshot
from services.mover.wire.times import time_from_proto, time_to_proto


def snapshot_to_proto(snapshot: VmSnapshot) -> point_pb2.VmSnapshot:
    return point_pb2.VmSnapshot(
        snapshot_id=snapshot.snapshot_id,
        display_name=snapshot.display_name,
        description=snapshot.description,
        snapshot_time=time_to_proto(snapshot.snapshot_time),
        parent_id=snapshot.parent_id,
        with_memory=snapshot.with_memory,
        saved=snapshot.saved,
    )


def snapshot_from_proto(snapshot: point_pb2.VmSnapshot) -> VmSnapshot:
    return VmSnapshot(
        snapshot.snapshot_id,
        snapshot.display_name,
        snapshot.description,
        time_from_proto(snapshot.snapshot_time),
        snapshot.parent_id,
        snapshot.with_memory,
        snapshot.saved,
    )
