"""Which hosts of a pool are asked whom they follow, when, and how long they are waited for."""

import asyncio
from collections import Counter
from collections.abc import Iterable

import pytest

from services.chassis.clock import FakeClock
from services.hypervisor.adapters.xapi_canvass import (
    A_FEW,
    REFUSED_OFTEN_S,
    REFUSED_ONCE_S,
    Canvass,
    refused,
)
from services.hypervisor.domain.leadership import Answer, Leadership
from tests.support.waiting import until_true

LEADER = "10.0.0.1"


class Hosts:
    """All follow ``LEADER``, but for those a test makes say something else, or nothing for ever."""

    def __init__(self, count: int) -> None:
        self.addresses = [f"10.0.0.{number}" for number in range(1, count + 1)]
        self.says: dict[str, Answer] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.clock = FakeClock()
        self.canvass = Canvass(lambda: self.addresses, self._ask, self.clock)

    def follow(self, leader: str, them: Iterable[str]) -> None:
        self.says |= {address: Answer(address, leader) for address in them}

    def since(self) -> list[str]:
        """Who was asked since this was asked last."""
        asked, self.asked = self.asked, []
        return asked

    async def _ask(self, address: str) -> Answer:
        self.asked.append(address)
        if address in self.silent:
            await asyncio.Event().wait()
        return self.says.get(address, Answer(address, LEADER))


async def test_each_look_asks_a_few_whatever_the_size_of_the_pool_and_each_host_has_its_turn() -> None:
    hosts = Hosts(64)
    supporters = len(hosts.addresses) - 1
    looks = -(-supporters // A_FEW)
    for _ in range(looks):
        assert Leadership(LEADER) == await hosts.canvass.some(LEADER)
        assert A_FEW == len(hosts.since())
    few: Counter[str] = Counter()
    for _ in range(supporters):
        await hosts.canvass.some(LEADER)
        few.update(hosts.since())
    assert {A_FEW} == {*few.values()}
    assert {*hosts.addresses} - {LEADER} == few.keys()


async def test_a_small_pool_is_asked_as_a_whole_each_time() -> None:
    hosts = Hosts(A_FEW + 1)
    for _ in range(2):
        assert Leadership(LEADER) == await hosts.canvass.some(LEADER)
        assert {*hosts.addresses} - {LEADER} == {*hosts.since()}


async def test_when_one_of_them_follows_somebody_else_all_are_asked() -> None:
    hosts = Hosts(40)
    other = hosts.addresses[30]
    hosts.follow(other, hosts.addresses[18:])
    found = await hosts.canvass.some(LEADER)
    assert (other, True) == (found.leader, found.contested)
    assert {*hosts.addresses} - {LEADER} == {*hosts.since()}


@pytest.mark.parametrize("first", [1, 13, 25, 33], ids=lambda first: f"from host {first} on")
async def test_a_coordinator_that_lost_most_of_a_large_pool_is_noticed_in_the_first_look(first: int) -> None:
    """Wherever the other half stands: the order in which hosts are asked has nothing to do with it."""
    hosts = Hosts(64)
    half = [*hosts.addresses[first:], *hosts.addresses[1:first]][:32]
    hosts.follow(half[0], half)
    assert (await hosts.canvass.some(LEADER)).contested


async def test_one_that_follows_somebody_else_is_noticed_in_its_turn() -> None:
    hosts = Hosts(64)
    other = hosts.addresses[40]
    hosts.follow(other, [other])
    looks = [(await hosts.canvass.some(LEADER)).contested for _ in range(-(-63 // A_FEW))]
    assert any(looks)


async def test_a_leader_nobody_knows_is_no_reason_to_ask_all() -> None:
    hosts = Hosts(40)
    hosts.follow("elsewhere", hosts.addresses[1:])
    assert Leadership(LEADER) == await hosts.canvass.some(LEADER)
    assert A_FEW == len(hosts.since())


async def test_in_a_hurry_nobody_is_waited_for_once_most_follow() -> None:
    hosts = Hosts(4)
    hosts.silent = {hosts.addresses[3]}
    assert Leadership(LEADER) == await hosts.canvass.hurried(LEADER)
    assert {*hosts.addresses[1:]} == {*hosts.since()}


async def test_without_a_majority_everybody_is_waited_for() -> None:
    hosts = Hosts(3)
    other = hosts.addresses[1]
    hosts.follow(other, hosts.addresses[1:])
    found = await hosts.canvass.hurried(LEADER)
    assert f"{LEADER} is followed by itself; {other} is followed by itself, 10.0.0.3" == found.dispute


async def test_in_a_hurry_hosts_that_said_nothing_the_last_time_are_not_waited_for() -> None:
    hosts = Hosts(16)
    away = {*hosts.addresses[2:]}
    hosts.says = {address: Answer(address, "", "no answer") for address in away}
    assert Leadership(LEADER) == await hosts.canvass.hurried(LEADER)
    hosts.silent = away
    assert Leadership(LEADER) == await asyncio.wait_for(hosts.canvass.hurried(LEADER), 30)

    hosts.silent = set()
    hosts.says = {}
    await hosts.canvass.everybody(LEADER)
    hosts.since()
    hosts.silent = away
    waiting = asyncio.ensure_future(hosts.canvass.hurried(LEADER))
    await until_true(lambda: {*hosts.asked} == {*hosts.addresses[1:]})
    assert not waiting.done(), "they have answered since"
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_a_host_that_refuses_our_password_leads_and_is_asked_less_and_less_often() -> None:
    hosts = Hosts(3)
    other = hosts.addresses[2]
    hosts.says[other] = refused(other)
    pauses, since = [], 0
    for _ in range(400):
        assert f"{other} refuses our password" in (await hosts.canvass.everybody(LEADER)).dispute
        if other in hosts.since():
            pauses.append(since)
            since = 0
        since += 10
        await hosts.clock.advance(10)
    assert [0, REFUSED_ONCE_S, 120, 240, 480, REFUSED_OFTEN_S, REFUSED_OFTEN_S] == pauses[:7]

    del hosts.says[other]
    await hosts.clock.advance(REFUSED_OFTEN_S)
    assert not (await hosts.canvass.everybody(LEADER)).contested
    hosts.says[other] = refused(other)
    await hosts.canvass.everybody(LEADER)
    hosts.since()
    await hosts.clock.advance(REFUSED_ONCE_S)
    await hosts.canvass.everybody(LEADER)
    assert other in hosts.since(), "what was refused before is forgotten once it was not"
