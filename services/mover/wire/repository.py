"""Repositories."""

from xenkeep.mover.v1 import repository_pb2

from services.mover.domain.names import repository_name
from services.mover.domain.repository import RepositoryStatus
from services.mover.repository import Trashed
from services.mover.wire.times import time_to_proto


def trashed_to_proto(copy: Trashed) -> repository_pb2.TrashedPoint:
    return repository_pb2.TrashedPoint(point_id=copy.point_id, delete_time=time_to_proto(copy.deleted_time))


def status_to_proto(status: RepositoryStatus, site: str) -> repository_pb2.Repository:
    registration = status.registration
    return repository_pb2.Repository(
        name=repository_name(registration.repository_id),
        display_name=registration.display_name,
        url=registration.url,
        site=site,
        state=repository_pb2.Repository.State.Value(f"STATE_{status.state.name}"),
        state_message=status.state_message,
        format_version=status.format_version,
        chunk_bytes=status.chunk_bytes,
        point_count=status.point_count,
        stored_bytes=status.stored_bytes,
        free_bytes=status.free_bytes,
        create_time=time_to_proto(registration.create_time),
    )
