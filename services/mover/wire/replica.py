"""Objects of copies that are kept without a key."""

from collections.abc import Iterable, Sequence

from xenkeep.mover.v1 import replica_pb2

from services.mover.domain.replica import Announced, Outcome, Small, Taken
from services.mover.repository import StoredObject

_PREFIX = "replicas/"
_OUTCOMES = {
    Outcome.UNDER_WAY: replica_pb2.PutObjectResponse.OUTCOME_UNSPECIFIED,
    Outcome.STORED: replica_pb2.PutObjectResponse.OUTCOME_STORED,
    Outcome.EXISTS: replica_pb2.PutObjectResponse.OUTCOME_EXISTS,
}
_FROM_PROTO = {number: outcome for outcome, number in _OUTCOMES.items()}


def replica_name(repository_id: str) -> str:
    return f"{_PREFIX}{repository_id}"


def replica_id(name: str) -> str:
    """The id of ``replicas/{repository}``; a bare id passes as it is."""
    return name.removeprefix(_PREFIX)


def object_to_proto(stored: StoredObject) -> replica_pb2.Object:
    return replica_pb2.Object(object=stored.name, size_bytes=stored.size)


def object_from_proto(stored: replica_pb2.Object) -> StoredObject:
    return StoredObject(stored.object, stored.size_bytes)


def announced_to_proto(what: Announced) -> replica_pb2.PutObjectRequest.Start:
    return replica_pb2.PutObjectRequest.Start(
        parent=replica_name(what.repository_id), object=what.name, size_bytes=what.size, sha256=what.sha256
    )


def announced_from_proto(start: replica_pb2.PutObjectRequest.Start) -> Announced:
    return Announced(replica_id(start.parent), start.object, start.size_bytes, start.sha256)


def taken_to_proto(taken: Taken) -> replica_pb2.PutObjectResponse:
    return replica_pb2.PutObjectResponse(durable_bytes=taken.durable, outcome=_OUTCOMES[taken.outcome])


def taken_from_proto(response: replica_pb2.PutObjectResponse) -> Taken:
    """An outcome this release does not know is none."""
    return Taken(response.durable_bytes, _FROM_PROTO.get(response.outcome, Outcome.UNDER_WAY))


def small_to_proto(small: Small) -> replica_pb2.SmallObject:
    return replica_pb2.SmallObject(object=small.name, sha256=small.sha256, data=bytes(small.data))


def small_from_proto(small: replica_pb2.SmallObject) -> Small:
    return Small(small.object, small.sha256, small.data)


def outcomes_to_proto(outcomes: Iterable[Outcome]) -> replica_pb2.PutObjectsResponse:
    return replica_pb2.PutObjectsResponse(outcomes=[_OUTCOMES[outcome] for outcome in outcomes])


def outcomes_from_proto(response: replica_pb2.PutObjectsResponse) -> Sequence[Outcome]:
    """An outcome this release does not know is none."""
    return [_FROM_PROTO.get(outcome, Outcome.UNDER_WAY) for outcome in response.outcomes]
