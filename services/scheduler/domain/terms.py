"""What a policy asks of a run."""

from services.scheduler.domain.policy import Policy
from services.scheduler.domain.run import BackupTerms


def terms_of_policy(policy: Policy, full: bool) -> BackupTerms:
    """The policy as it is now."""
    return BackupTerms(
        policy.selector,
        policy.repository,
        policy.method,
        full,
        policy_id=policy.policy_id,
        retry=policy.retry,
        limits=policy.limits,
        capture=policy.capture,
        grouping=policy.grouping,
        pool_metadata=policy.pool_metadata,
    )
