"""Agents in memory: what the use cases are tested against, held to the same law as real ones."""

from dataclasses import dataclass, field

from services.chassis.clock import Clock
from services.hypervisor.domain.methods import NO_AGENT
from services.hypervisor.ports.guests import Component, Frozen


@dataclass
class MemoryAgent:
    """An agent in a guest. ``broken`` is why it cannot freeze at all; ``truncated`` are the freezes after
    which applications dropped their logs."""

    applications: bool = True
    components: tuple[Component, ...] = (Component("/"),)
    broken: str = ""
    freeze_id: str = ""
    until: float = 0.0
    truncated: list[str] = field(default_factory=list)


class MemoryAgents:
    """``ports.guests.GuestAgents``; tests change ``guests`` (by VM) as administrators would."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.guests: dict[str, MemoryAgent] = {}

    def frozen(self, vm_id: str) -> bool:
        """Whether the guest stands still now."""
        agent = self.guests.get(vm_id)
        return agent is not None and bool(agent.freeze_id) and self._clock.monotonic() < agent.until

    def obstacle(self, pool_id: str, vm_id: str) -> str:
        agent = self.guests.get(vm_id)
        return NO_AGENT if agent is None else agent.broken

    async def freeze(self, pool_id: str, vm_id: str, freeze_id: str, limit_s: float) -> Frozen:
        if why_not := self.obstacle(pool_id, vm_id):
            return Frozen(why_not=why_not)
        agent = self.guests[vm_id]
        if self.frozen(vm_id) and agent.freeze_id != freeze_id:
            return Frozen(why_not="the guest is frozen for another backup")
        if not self.frozen(vm_id):
            agent.freeze_id, agent.until = freeze_id, self._clock.monotonic() + limit_s
        return Frozen(applications=agent.applications, components=agent.components)

    async def thaw(self, pool_id: str, vm_id: str, freeze_id: str) -> bool:
        agent = self.guests.get(vm_id)
        if agent is None or agent.freeze_id != freeze_id:
            return False
        held = self.frozen(vm_id)
        agent.freeze_id = ""
        return held

    async def finish(self, pool_id: str, vm_id: str, freeze_id: str, committed: bool) -> None:
        if committed and vm_id in self.guests and freeze_id not in self.guests[vm_id].truncated:
            self.guests[vm_id].truncated.append(freeze_id)
