"""What a policy saves of pools."""

from xenkeep.scheduler.v1 import policy_pb2

from services.scheduler.domain.pool_metadata import PoolMetadata


def pool_metadata_to_proto(metadata: PoolMetadata | None) -> policy_pb2.PoolMetadata | None:
    return policy_pb2.PoolMetadata(hosts=metadata.hosts) if metadata is not None else None


def pool_metadata_from_proto(policy: policy_pb2.Policy) -> PoolMetadata | None:
    """Of the selector's pool, of all pools when it names none; None when the policy saves no metadata."""
    if not policy.HasField("pool_metadata"):
        return None
    pools = (policy.selector.pool,) if policy.selector.pool else ()
    return PoolMetadata(pools, policy.pool_metadata.hosts)
