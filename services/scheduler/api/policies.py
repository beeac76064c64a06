"""PolicyService."""

from typing import Any

from xenkeep.scheduler.v1 import policy_pb2, policy_pb2_grpc

from services.chassis.paging import page_size, parts_of, token_of
from services.scheduler.app.policies import PolicyBook
from services.scheduler.wire.names import id_in
from services.scheduler.wire.policy import policy_from_proto, policy_to_proto
from services.scheduler.wire.preview import preview_to_proto


class PolicyApi(policy_pb2_grpc.PolicyServiceServicer):
    """Unpacks, calls once, packs."""

    def __init__(self, policies: PolicyBook) -> None:
        self._policies = policies

    async def CreatePolicy(self, request: policy_pb2.CreatePolicyRequest, context: Any) -> policy_pb2.Policy:
        return policy_to_proto(await self._policies.create(policy_from_proto(request.policy)))

    async def UpdatePolicy(self, request: policy_pb2.UpdatePolicyRequest, context: Any) -> policy_pb2.Policy:
        carry_out = self._policies.updated if request.validate_only else self._policies.update
        return policy_to_proto(await carry_out(policy_from_proto(request.policy)))

    async def GetPolicy(self, request: policy_pb2.GetPolicyRequest, context: Any) -> policy_pb2.Policy:
        return policy_to_proto(await self._policies.get(id_in(request.name, "policies")))

    async def ListPolicies(
        self, request: policy_pb2.ListPoliciesRequest, context: Any
    ) -> policy_pb2.ListPoliciesResponse:
        size = page_size(request.page_size, 1000)
        after = parts_of(request.page_token, 1)[0] if request.page_token else ""
        page = await self._policies.page(after, size + 1)
        more = token_of(page[size - 1].policy_id) if len(page) > size else ""
        policies = [policy_to_proto(policy) for policy in page[:size]]
        return policy_pb2.ListPoliciesResponse(policies=policies, next_page_token=more)

    async def PreviewPolicy(
        self, request: policy_pb2.PreviewPolicyRequest, context: Any
    ) -> policy_pb2.PreviewPolicyResponse:
        return preview_to_proto(await self._policies.preview(id_in(request.name, "policies"), request.vm))

    async def DeletePolicy(
        self, request: policy_pb2.DeletePolicyRequest, context: Any
    ) -> policy_pb2.DeletePolicyResponse:
        await self._policies.delete(id_in(request.name, "policies"))
        return policy_pb2.DeletePolicyResponse()
