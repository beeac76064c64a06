"""Guests without an agent of ours."""

from services.hypervisor.domain.methods import NO_AGENT
from services.hypervisor.ports.guests import Frozen


class NoAgents:
    """``ports.guests.GuestAgents`` of an installation that has none."""

    def obstacle(self, pool_id: str, vm_id: str) -> str:
        """See ports.GuestAgents."""
        return NO_AGENT

    async def freeze(self, pool_id: str, vm_id: str, freeze_id: str, limit_s: float) -> Frozen:
        """See ports.GuestAgents."""
        return Frozen(why_not=NO_AGENT)

    async def thaw(self, pool_id: str, vm_id: str, freeze_id: str) -> bool:
        """See ports.GuestAgents."""
        return False

    async def finish(self, pool_id: str, vm_id: str, freeze_id: str, committed: bool) -> None:
        """See ports.GuestAgents."""
