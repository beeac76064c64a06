"""Copies: what is asked, and what came of it."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from xenkeep.mover.v1 import transfer_pb2

from services.chassis.errors import InvalidInput
from services.mover.domain.copying import Copied, Copy, Healed, LeftPoint
from services.mover.domain.names import repository_id, repository_name
from services.mover.domain.rates import RateLimit, RateLimits
from services.mover.wire.times import time_from_proto, time_to_proto


def copy_to_proto(spec: Copy) -> transfer_pb2.CopySpec:
    return transfer_pb2.CopySpec(
        repository=repository_name(spec.repository_id),
        target_url=spec.target_url,
        assets=spec.assets,
        since_time=time_to_proto(spec.since),
        newest_count=spec.newest,
        rate_limits=(
            transfer_pb2.RateLimit(
                start_minute=limit.start_minute,
                end_minute=limit.end_minute,
                bytes_per_second=limit.bytes_per_second,
            )
            for limit in spec.limits.limits
        ),
        time_zone=spec.limits.time_zone,
    )


def copy_from_proto(spec: transfer_pb2.CopySpec) -> Copy:
    """Raises InvalidInput for what can be no copy."""
    limits = tuple(
        RateLimit(limit.start_minute, limit.end_minute, limit.bytes_per_second) for limit in spec.rate_limits
    )
    return Copy(
        repository_id=repository_id(spec.repository),
        target_url=spec.target_url,
        assets=tuple(spec.assets),
        since=_since(spec.since_time) if spec.HasField("since_time") else None,
        newest=spec.newest_count,
        limits=RateLimits(limits, spec.time_zone),
    )


def copied_to_proto(copied: Copied) -> transfer_pb2.CopyResult:
    return transfer_pb2.CopyResult(
        copied_point_count=copied.copied_points,
        known_point_count=copied.known_points,
        sent_pack_count=copied.sent_packs,
        sent_bytes=copied.sent_bytes,
        left_point_count=copied.left_count,
        left_points=(
            transfer_pb2.LeftPoint(point_id=each.point_id, message=each.message)
            for each in copied.left_points
        ),
    )


def copied_from_proto(copied: transfer_pb2.CopyResult) -> Copied:
    return Copied(
        copied_points=copied.copied_point_count,
        known_points=copied.known_point_count,
        sent_packs=copied.sent_pack_count,
        sent_bytes=copied.sent_bytes,
        left_count=copied.left_point_count,
        left_points=tuple(LeftPoint(each.point_id, each.message) for each in copied.left_points),
    )


def healed_to_proto(healed: Healed) -> transfer_pb2.HealResult:
    return transfer_pb2.HealResult(
        damaged_pack_count=healed.damaged_packs,
        healed_blob_count=healed.healed_blobs,
        left_blob_count=healed.left_blobs,
        stored_bytes=healed.stored_bytes,
    )


def healed_from_proto(healed: transfer_pb2.HealResult) -> Healed:
    return Healed(
        damaged_packs=healed.damaged_pack_count,
        healed_blobs=healed.healed_blob_count,
        left_blobs=healed.left_blob_count,
        stored_bytes=healed.stored_bytes,
    )


def _since(time: Timestamp) -> datetime:
    try:
        return time_from_proto(time)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{time.seconds} seconds are no moment.", reason="TIME_INVALID", hint="Give a date."
        ) from None
