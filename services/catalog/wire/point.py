"""Points, restore points and assets."""

import re

from xenkeep.catalog.v1 import catalog_pb2
from xenkeep.common.v1 import point_pb2

from services.catalog.domain.point import UNKNOWN_TIME, Asset, Point, ProtectedAsset, RestorePoint
from services.catalog.wire.names import point_name
from services.catalog.wire.times import time_from_proto, time_to_proto
from services.chassis.errors import InvalidInput

_ID = re.compile(r"[0-9a-z-]{1,64}")


def point_from_proto(point: point_pb2.Point) -> Point:
    """Raises InvalidInput POINT_MALFORMED for one that cannot be told from others."""
    ids = (point.point_id, point.repository_id, point.asset.asset_id)
    if not all(_ID.fullmatch(each) for each in ids) or len(point.asset.pool_id) > 64:
        raise InvalidInput(
            f"A restore point came with the ids {', '.join(each[:64] or 'none' for each in ids)}.",
            reason="POINT_MALFORMED",
            hint="Point, repository and asset each have a lower-case UUID.",
        )
    try:
        snapshot_time = time_from_proto(point.snapshot_time)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"The restore point {point.point_id} has no usable snapshot time.", reason="POINT_MALFORMED"
        ) from error
    return Point(
        point_id=point.point_id,
        repository_id=point.repository_id,
        asset=_asset_from_proto(point.asset),
        snapshot_time=snapshot_time,
        document=point.SerializeToString(deterministic=True),
    )


def unreadable_from_proto(point: point_pb2.Point) -> Point:
    """One of which only the ids are known. Raises InvalidInput POINT_MALFORMED without them."""
    ids = (point.point_id, point.repository_id)
    if not all(_ID.fullmatch(each) for each in ids):
        raise InvalidInput(
            f"A restore point that cannot be read came as {', '.join(each[:64] or 'none' for each in ids)}.",
            reason="POINT_MALFORMED",
            hint="Point and repository each have a lower-case UUID.",
        )
    known = point_pb2.Point(point_id=point.point_id, repository_id=point.repository_id)
    return Point(*ids, Asset("", "", "", ""), UNKNOWN_TIME, known.SerializeToString(deterministic=True))


def restore_point_to_proto(restore_point: RestorePoint) -> catalog_pb2.RestorePoint:
    health = restore_point.health
    state = catalog_pb2.RestorePoint.STATE_AVAILABLE
    if health.damaged:
        state = catalog_pb2.RestorePoint.STATE_DAMAGED
    return catalog_pb2.RestorePoint(
        name=point_name(restore_point.point.point_id),
        point=point_pb2.Point.FromString(restore_point.point.document),
        repository_display_name=restore_point.repository_display_name,
        state=state,
        state_message=health.words,
        verify_time=time_to_proto(health.verify_time),
    )


def asset_to_proto(asset: ProtectedAsset) -> catalog_pb2.ProtectedAsset:
    return catalog_pb2.ProtectedAsset(
        asset=point_pb2.Asset(
            asset_id=asset.asset.asset_id,
            display_name=asset.asset.display_name,
            pool_id=asset.asset.pool_id,
            pool_display_name=asset.asset.pool_display_name,
        ),
        point_count=asset.point_count,
        newest_snapshot_time=time_to_proto(asset.newest_snapshot_time),
    )


def _asset_from_proto(asset: point_pb2.Asset) -> Asset:
    return Asset(asset.asset_id, asset.display_name, asset.pool_id, asset.pool_display_name)
