"""Making, changing and removing policies."""

from collections.abc import Sequence
from dataclasses import replace

from services.chassis.clock import Clock
from services.chassis.errors import AlreadyExists, NotFound
from services.chassis.ids import IdSource
from services.scheduler.domain.grouping import grouped
from services.scheduler.domain.policy import Policy, check, replaced, timed
from services.scheduler.domain.preview import Preview, preview
from services.scheduler.domain.selection import select
from services.scheduler.ports import Ledger, Repositories, Vms


class PolicyBook:
    """What can be done with policies."""

    def __init__(
        self, ledger: Ledger, vms: Vms, repositories: Repositories, clock: Clock, ids: IdSource
    ) -> None:
        self._ledger, self._vms, self._repositories = ledger, vms, repositories
        self._clock, self._ids = clock, ids

    async def create(self, wanted: Policy) -> Policy:
        """Raises InvalidInput, NotFound for its repository or pool, AlreadyExists POLICY_EXISTS."""
        await self._check(wanted)
        now = self._clock.now()
        policy = replace(timed(wanted, now), etag=self._ids.new(), create_time=now)
        async with self._ledger.writing() as work:
            if await work.policies.get(policy.policy_id) is not None:
                raise AlreadyExists(
                    f"There is a policy {policy.policy_id} already.",
                    reason="POLICY_EXISTS",
                    hint="Update it (--replace), or choose another name.",
                    metadata={"policy": policy.policy_id},
                )
            await work.policies.put(policy)
        return policy

    async def update(self, wanted: Policy) -> Policy:
        """Raises as ``create``, NotFound POLICY_NOT_FOUND, FailedPrecondition POLICY_CHANGED."""
        await self._check(wanted)
        async with self._ledger.writing() as work:
            current = known(await work.policies.get(wanted.policy_id), wanted.policy_id)
            policy = replaced(current, wanted, self._clock.now(), self._ids.new())
            await work.policies.put(policy)
        return policy

    async def updated(self, wanted: Policy) -> Policy:
        """What ``update`` would make of the policy; nothing is changed. Raises as ``update``."""
        await self._check(wanted)
        current = await self.get(wanted.policy_id)
        return replaced(current, wanted, self._clock.now(), self._ids.new())

    async def get(self, policy_id: str) -> Policy:
        async with self._ledger.reading() as work:
            return known(await work.policies.get(policy_id), policy_id)

    async def page(self, after: str, size: int) -> Sequence[Policy]:
        """The first ``size`` by id that come after ``after``."""
        async with self._ledger.reading() as work:
            return await work.policies.page(after, size)

    async def preview(self, policy_id: str, reference: str) -> Preview:
        """What a run would do now to the VM of that name or UUID, or to all with "". Raises NotFound
        POLICY_NOT_FOUND, FailedPrecondition for groups that cannot be, Unavailable."""
        policy = await self.get(policy_id)
        selection = select(policy.selector, await self._vms.list_vms(policy.selector.pool))
        groups, _ = grouped(policy.grouping, selection.vms)
        vms = tuple(
            preview(policy, vm, groups.get(vm.name, ""))
            for vm in selection.vms
            if reference in ("", vm.name, vm.vm_id, vm.display_name)
        )
        return Preview(vms, selection.missing)

    async def delete(self, policy_id: str) -> None:
        """Its runs stay, also one that is under way."""
        async with self._ledger.writing() as work:
            known(await work.policies.get(policy_id), policy_id)
            await work.policies.delete(policy_id)

    async def _check(self, wanted: Policy) -> None:
        check(wanted)
        await self._repositories.find(wanted.repository)
        if wanted.selector.pool:
            await self._vms.find_pool(wanted.selector.pool)


def known(policy: Policy | None, policy_id: str) -> Policy:
    """Raises NotFound POLICY_NOT_FOUND instead of None."""
    if policy is None:
        raise NotFound(
            f"There is no policy {policy_id}.",
            reason="POLICY_NOT_FOUND",
            hint="List the policies to see their names.",
            metadata={"policy": policy_id},
        )
    return policy
