"""Facts as events."""

from google.protobuf.message import Message
from xenkeep.catalog.v1 import events_pb2

from services.catalog.domain.facts import Added, Damaged, Fact, Removed, Verified
from services.catalog.wire.names import point_name
from services.catalog.wire.point import restore_point_to_proto


def fact_to_event(fact: Fact) -> tuple[Message, str]:
    """The event, and the name of what it is about."""
    name = point_name(fact.restore_point.point.point_id)
    return _event(fact, name), name


def _event(fact: Fact, name: str) -> Message:
    asset = fact.restore_point.point.asset.display_name
    match fact:
        case Added(restore_point):
            return events_pb2.RestorePointAdded(restore_point=restore_point_to_proto(restore_point))
        case Damaged(restore_point):
            return events_pb2.RestorePointDamaged(restore_point=restore_point_to_proto(restore_point))
        case Removed():
            return events_pb2.RestorePointRemoved(restore_point=name, asset_display_name=asset)
        case Verified():
            return events_pb2.RestorePointVerified(restore_point=name, asset_display_name=asset)
