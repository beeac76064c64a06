"""Policies."""

from collections.abc import Iterator

from xenkeep.calls import Caller
from xenkeep.paging import pages
from xenkeep.scheduler.v1 import policy_pb2, policy_pb2_grpc


class Policies:
    """``client.policies``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = policy_pb2_grpc.PolicyServiceStub(caller.channel)

    def create(self, policy: policy_pb2.Policy) -> policy_pb2.Policy:
        """Make a policy; one of that name: Error AlreadyExists."""
        return self._caller.unary(self._stub.CreatePolicy, policy_pb2.CreatePolicyRequest(policy=policy))

    def update(self, policy: policy_pb2.Policy, *, validate_only: bool = False) -> policy_pb2.Policy:
        """Replace what a policy says; an etag, if set, must be the current one. One that says the same stays
        as it is. ``validate_only`` changes nothing, and answers with what the policy would be."""
        request = policy_pb2.UpdatePolicyRequest(policy=policy, validate_only=validate_only)
        return self._caller.unary(self._stub.UpdatePolicy, request)

    def get(self, name: str) -> policy_pb2.Policy:
        """One policy, ``policies/{policy}``."""
        return self._caller.unary(self._stub.GetPolicy, policy_pb2.GetPolicyRequest(name=name))

    def list(self) -> Iterator[policy_pb2.Policy]:
        """All policies, by name."""
        return pages(
            lambda token: self._caller.unary(
                self._stub.ListPolicies, policy_pb2.ListPoliciesRequest(page_token=token)
            ),
            lambda page: page.policies,
        )

    def preview(self, name: str, vm: str = "") -> policy_pb2.PreviewPolicyResponse:
        """What a run of a policy would do now, to all VMs it selects or to one."""
        request = policy_pb2.PreviewPolicyRequest(name=name, vm=vm)
        return self._caller.unary(self._stub.PreviewPolicy, request)

    def remove(self, name: str) -> None:
        """Remove a policy; its runs and restore points stay."""
        self._caller.unary(self._stub.DeletePolicy, policy_pb2.DeletePolicyRequest(name=name))
