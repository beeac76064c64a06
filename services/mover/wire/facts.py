"""Facts as the events and the work that announce them."""

from google.protobuf.message import Message
from xenkeep.mover.v1 import events_pb2, work_pb2

from services.mover.domain import facts
from services.mover.domain.names import repository_name, transfer_name
from services.mover.wire.capture import failure_to_proto, remark_to_proto
from services.mover.wire.point import damage_to_proto, point_to_proto
from services.mover.wire.spec import spec_to_proto
from services.mover.wire.transfer import coverage_to_proto, progress_to_proto, result_to_proto


def work_to_proto(work: facts.TransferRequested) -> work_pb2.TransferRequested:
    return work_pb2.TransferRequested(transfer_id=work.transfer_id, spec=spec_to_proto(work.spec))


def fact_to_proto(fact: facts.Fact, site: str) -> tuple[Message, str]:
    """The event and the name of what it is about."""
    match fact:
        case facts.RepositoryAdded():
            name = repository_name(fact.repository_id)
            added = events_pb2.RepositoryAdded(
                repository=name, repository_display_name=fact.display_name, site=site
            )
            return added, name
        case facts.TransferStarted():
            name = transfer_name(fact.transfer_id)
            return events_pb2.TransferStarted(transfer=name, attempt=fact.attempt), name
        case facts.TransferProgressed():
            name = transfer_name(fact.transfer_id)
            return events_pb2.TransferProgressed(
                transfer=name, progress=progress_to_proto(fact.progress)
            ), name
        case facts.TransferFinished():
            name = transfer_name(fact.transfer_id)
            return events_pb2.TransferFinished(transfer=name, result=result_to_proto(fact.result)), name
        case facts.TransferFailed():
            name = transfer_name(fact.transfer_id)
            failed = events_pb2.TransferFailed(
                transfer=name,
                failure=failure_to_proto(fact.failure),
                retryable=fact.retryable,
                notices=map(remark_to_proto, fact.notices),
            )
            return failed, name
        case facts.TransferCancelled():
            name = transfer_name(fact.transfer_id)
            return events_pb2.TransferCancelled(transfer=name), name
        case facts.PointCommitted():
            committed = events_pb2.PointCommitted(
                point=point_to_proto(fact.point), repository_display_name=fact.repository_display_name
            )
            return committed, f"restorePoints/{fact.point.point_id}"
        case facts.PointExpired():
            expired = events_pb2.PointExpired(
                repository=repository_name(fact.repository_id),
                repository_display_name=fact.repository_display_name,
                point_id=fact.point_id,
                recoverable=fact.recoverable,
            )
            return expired, f"restorePoints/{fact.point_id}"
        case facts.PointUndeleted():
            undeleted = events_pb2.PointUndeleted(
                point=point_to_proto(fact.point), repository_display_name=fact.repository_display_name
            )
            return undeleted, f"restorePoints/{fact.point.point_id}"
        case facts.DamageFound():
            name = repository_name(fact.repository_id)
            found = events_pb2.DamageFound(
                repository=name,
                repository_display_name=fact.repository_display_name,
                damages=map(damage_to_proto, fact.damages),
            )
            return found, name
        case facts.RepositoryVerified():
            name = repository_name(fact.repository_id)
            verified = events_pb2.RepositoryVerified(
                repository=name,
                repository_display_name=fact.repository_display_name,
                full=fact.full,
                sound_point_ids=fact.sound_points,
                damaged_point_ids=fact.damaged_points,
                sample=coverage_to_proto(fact.coverage) if fact.coverage else None,
            )
            return verified, name
        case facts.TransferRequested():
            return work_to_proto(fact), transfer_name(fact.transfer_id)
