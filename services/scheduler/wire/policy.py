"""Policies."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from xenkeep.scheduler.v1 import policy_pb2

from services.chassis.errors import InvalidInput
from services.scheduler.domain.groups import Grouping, VmGroup
from services.scheduler.domain.policy import Limits, Policy, RetryRule, Selector
from services.scheduler.wire.capture import capture_from_proto, capture_to_proto
from services.scheduler.wire.methods import method_from_proto, method_to_proto
from services.scheduler.wire.names import id_in, policy_name
from services.scheduler.wire.pool_metadata import pool_metadata_from_proto, pool_metadata_to_proto
from services.scheduler.wire.times import time_to_proto


def policy_to_proto(policy: Policy) -> policy_pb2.Policy:
    selector = policy.selector
    delay = Duration()
    delay.FromTimedelta(policy.retry.delay)
    return policy_pb2.Policy(
        name=policy_name(policy.policy_id),
        selector=policy_pb2.VmSelector(
            pool=selector.pool,
            vms=selector.vms,
            tags=selector.tags,
            all=selector.all,
            excluded_vms=selector.excluded_vms,
            templates=selector.templates,
        ),
        repository=policy.repository,
        method=method_to_proto(policy.method),
        schedule=policy.schedule,
        time_zone=policy.time_zone,
        retry=policy_pb2.RetryRule(retries=policy.retry.retries, delay_duration=delay),
        limits=policy_pb2.Limits(
            tasks_per_run=policy.limits.tasks_per_run,
            tasks_per_host=policy.limits.tasks_per_host,
            connections_per_disk=policy.limits.connections_per_disk,
            tasks_per_sr=policy.limits.tasks_per_sr,
        ),
        next_run_time=time_to_proto(policy.next_run_time),
        etag=policy.etag,
        create_time=time_to_proto(policy.create_time),
        paused=policy.paused,
        options=capture_to_proto(policy.capture),
        group=policy.grouping.everything,
        groups=[
            policy_pb2.VmGroup(display_name=group.name, vms=group.vms, tags=group.tags)
            for group in policy.grouping.groups
        ],
        pool_metadata=pool_metadata_to_proto(policy.pool_metadata),
    )


def policy_from_proto(policy: policy_pb2.Policy) -> Policy:
    """What a person asks for; output-only fields are left out. It is not checked yet."""
    selector = policy.selector
    return Policy(
        policy_id=id_in(policy.name, "policies"),
        selector=Selector(
            pool=selector.pool,
            vms=tuple(dict.fromkeys(selector.vms)),
            tags=tuple(dict.fromkeys(selector.tags)),
            all=selector.all,
            excluded_vms=tuple(dict.fromkeys(selector.excluded_vms)),
            templates=selector.templates,
        ),
        repository=policy.repository,
        method=method_from_proto(policy.method),
        schedule=policy.schedule.strip(),
        time_zone=policy.time_zone,
        retry=RetryRule(policy.retry.retries, _delay(policy.retry.delay_duration)),
        limits=Limits(
            policy.limits.tasks_per_run,
            policy.limits.tasks_per_host,
            policy.limits.connections_per_disk,
            policy.limits.tasks_per_sr,
        ),
        paused=policy.paused,
        capture=capture_from_proto(policy.options),
        pool_metadata=pool_metadata_from_proto(policy),
        etag=policy.etag,
        grouping=Grouping(
            policy.group,
            tuple(
                VmGroup(group.display_name, tuple(dict.fromkeys(group.vms)), tuple(dict.fromkeys(group.tags)))
                for group in policy.groups
            ),
        ),
    )


def _delay(duration: Duration) -> timedelta:
    try:
        return duration.ToTimedelta()
    except (ValueError, OverflowError):
        raise InvalidInput(
            "retry.delay_duration is out of range.",
            reason="POLICY_INVALID",
            hint="Choose 0 seconds to one day.",
        ) from None
