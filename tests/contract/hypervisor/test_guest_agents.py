"""The law of ports.guests.GuestAgents."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from services.chassis.clock import FakeClock
from services.hypervisor.adapters.memory_agents import MemoryAgent, MemoryAgents
from services.hypervisor.adapters.no_agents import NoAgents
from services.hypervisor.ports.guests import GuestAgents

POOL, VM, OTHER = "pool", "vm", "a vm without an agent"
LIMIT_S = 10.0


@dataclass
class Guests:
    """Agents, one of which is in ``VM``, and the time they go by."""

    agents: GuestAgents
    memory: MemoryAgents
    clock: FakeClock

    async def begin(self, id: str) -> str:
        return (await self.agents.freeze(POOL, VM, id, LIMIT_S)).why_not


@pytest.fixture
def guests() -> Guests:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    agents = MemoryAgents(clock)
    agents.guests[VM] = MemoryAgent()
    return Guests(agents, agents, clock)


def _id() -> str:
    return str(uuid.uuid4())


async def test_a_guest_stands_still_until_it_thaws(guests: Guests) -> None:
    id = _id()
    assert "" == guests.agents.obstacle(POOL, VM)
    assert "" == await guests.begin(id)
    assert guests.memory.frozen(VM)
    assert await guests.agents.thaw(POOL, VM, id)
    assert not guests.memory.frozen(VM)


async def test_a_freeze_ends_by_itself(guests: Guests) -> None:
    id = _id()
    await guests.begin(id)
    await guests.clock.advance(LIMIT_S)
    assert not guests.memory.frozen(VM)
    assert not await guests.agents.thaw(POOL, VM, id)


async def test_asking_again_does_not_make_a_freeze_longer(guests: Guests) -> None:
    id = _id()
    await guests.begin(id)
    await guests.clock.advance(LIMIT_S / 2)
    assert "" == await guests.begin(id)
    await guests.clock.advance(LIMIT_S / 2)
    assert not guests.memory.frozen(VM)


async def test_a_thaw_may_be_repeated_and_says_only_once_that_it_held(guests: Guests) -> None:
    id = _id()
    await guests.begin(id)
    assert [True, False, False] == [await guests.agents.thaw(POOL, VM, id) for _ in range(3)]


async def test_what_was_never_frozen_has_not_held(guests: Guests) -> None:
    assert not await guests.agents.thaw(POOL, VM, _id())
    assert not await guests.agents.thaw(POOL, OTHER, _id())


async def test_two_freezes_do_not_disturb_each_other(guests: Guests) -> None:
    one, other = _id(), _id()
    await guests.begin(one)
    assert await guests.begin(other)
    assert not await guests.agents.thaw(POOL, VM, other)
    assert await guests.agents.thaw(POOL, VM, one)
    assert "" == await guests.begin(other)


async def test_applications_are_told_of_a_commit_alone(guests: Guests) -> None:
    agent, id = guests.memory.guests[VM], _id()
    await guests.agents.finish(POOL, VM, id, committed=False)
    assert [] == agent.truncated
    for _ in range(2):
        await guests.agents.finish(POOL, VM, id, committed=True)
    assert [id] == agent.truncated


async def test_an_agent_that_cannot_freeze_leaves_nothing_frozen(guests: Guests) -> None:
    guests.memory.guests[VM].broken = "its service is stopped"
    assert "its service is stopped" == guests.agents.obstacle(POOL, VM) == await guests.begin(_id())
    assert not guests.memory.frozen(VM)


@pytest.mark.parametrize("kind", ["memory", "none"])
async def test_without_an_agent_the_same_is_said_before_and_after(guests: Guests, kind: str) -> None:
    agents: GuestAgents = guests.agents if kind == "memory" else NoAgents()
    told = agents.obstacle(POOL, OTHER)
    assert told
    assert told == (await agents.freeze(POOL, OTHER, _id(), LIMIT_S)).why_not
    assert not await agents.thaw(POOL, OTHER, _id())
    await agents.finish(POOL, OTHER, _id(), committed=True)
