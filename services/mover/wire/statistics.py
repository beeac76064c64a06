"""Statistics of repositories."""

from collections.abc import Iterator
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from xenkeep.mover.v1 import repository_pb2

from services.mover.repository import AssetUsage, DayUsage, PointUsage, TotalUsage, Usage
from services.mover.wire.times import time_to_proto

Part = repository_pb2.GetRepositoryStatisticsResponse


def walked_to_proto(done: int, total: int) -> Part:
    return Part(progress=Part.Progress(done_count=done, total_count=total))


def usage_to_proto(usage: Usage) -> Iterator[Part]:
    """The total, assets, points, days: a message each, however many there are."""
    yield Part(total=_total(usage.total))
    yield from (Part(asset=_asset(asset)) for asset in usage.assets)
    yield from (Part(point=_point(point)) for point in usage.points)
    yield from (Part(day=_day(day)) for day in usage.days)


def _total(total: TotalUsage) -> repository_pb2.RepositoryStatistics:
    return repository_pb2.RepositoryStatistics(
        point_count=total.points,
        asset_count=total.assets,
        pack_count=total.packs,
        blob_count=total.blobs,
        logical_bytes=total.logical,
        stored_bytes=total.stored,
        needed_bytes=total.needed,
        shared_bytes=total.shared,
        trash_bytes=total.trash,
        unfinished_bytes=total.unfinished,
        dead_bytes=total.dead,
        dead_share=total.dead_share,
        ratio=total.ratio,
        added_bytes_per_day=total.added_per_day,
        growth_days=total.days,
        free_bytes=total.free,
        unreadable_point_ids=total.unreadable,
    )


def _asset(asset: AssetUsage) -> repository_pb2.AssetStatistics:
    return repository_pb2.AssetStatistics(
        asset_id=asset.asset_id,
        display_name=asset.name,
        kind=asset.kind,
        point_count=asset.points,
        logical_bytes=asset.logical,
        read_bytes=asset.read,
        stored_bytes=asset.stored,
        unique_bytes=asset.unique,
    )


def _point(point: PointUsage) -> repository_pb2.PointStatistics:
    return repository_pb2.PointStatistics(
        point_id=point.point_id,
        asset_id=point.asset_id,
        asset_display_name=point.asset_name,
        asset_kind=point.asset_kind,
        level=point.level,
        commit_time=_time(point.commit_time),
        logical_bytes=point.logical,
        read_bytes=point.read,
        stored_bytes=point.stored,
        unique_bytes=point.unique,
    )


def _day(day: DayUsage) -> repository_pb2.DayStatistics:
    return repository_pb2.DayStatistics(
        day=day.day, point_count=day.points, logical_bytes=day.logical, stored_bytes=day.stored
    )


def _time(text: str) -> Timestamp | None:
    try:
        return time_to_proto(datetime.fromisoformat(text))
    except ValueError:
        return None
