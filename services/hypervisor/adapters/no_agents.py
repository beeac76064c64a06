"""Guests without an agent of ours."""


class NoAgents:
    """``ports.guests.GuestAgents`` of an installation that has none."""

    async def freeze(self, pool_id: str, vm_id: str) -> str:
        """See ports.GuestAgents."""
        return "no agent that could freeze its file systems is installed in the guest"

    async def thaw(self, pool_id: str, vm_id: str) -> None:
        """See ports.GuestAgents."""
