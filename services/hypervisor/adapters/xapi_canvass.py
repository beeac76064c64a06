"""Asking the hosts of a pool whom they follow.

A supporter names its coordinator before it looks at the credentials; only a coordinator looks at them (xapi:
ocaml/xapi/xapi_session.ml ``login_with_password``). Each is asked at its own certificate, as for any login.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from services.chassis.clock import Clock
from services.hypervisor.adapters.pinned_https import (
    ConnectFailed,
    ConnectionLost,
    PinnedHttps,
    WrongCertificate,
)
from services.hypervisor.adapters.xapi_rpc import XapiFailure, rpc
from services.hypervisor.domain.leadership import Answer, Leadership, judge

ANSWER_WITHIN_S = 8.0
"""Longer than it takes to find out that no connection comes about."""
AT_ONCE = 64
"""All hosts of the largest pool: each silent one takes a while."""
A_FEW = 8
"""Hosts that a look at some of them asks, whatever the size of the pool."""
REFUSED_ONCE_S = 60.0
REFUSED_OFTEN_S = 900.0

Ask = Callable[[str], Awaitable[Answer]]


class Canvass:
    """Of one pool."""

    def __init__(self, members: Callable[[], Collection[str]], ask: Ask, clock: Clock) -> None:
        """``members`` says where the hosts are now."""
        self._members, self._ask_host = members, ask
        self._turns = Turns()
        self._silent: set[str] = set()
        self._refusals = Refusals(clock)

    async def everybody(self, leader: str) -> Leadership:
        """Whom all hosts follow; ``leader`` took our login a moment ago."""
        return judge(await canvass(leader, self._others(leader), self._ask))

    async def hurried(self, leader: str) -> Leadership:
        """The same, as far as it is known when most hosts follow ``leader``: nobody else can have a majority
        then. Who said nothing the last time is asked and not waited for."""
        others = self._others(leader)
        return judge(await canvass(leader, others, self._ask, wait_for={*others} - self._silent))

    async def some(self, leader: str) -> Leadership:
        """Whom ``A_FEW`` of them follow, others each time; all of them when one follows somebody else."""
        others = self._others(leader)
        few = self._turns.next(others)
        answers = await canvass(leader, few, self._ask)
        if len(few) == len(others):
            return judge(answers)
        if any(each.follows != leader and each.follows in self._members() for each in answers):
            return await self.everybody(leader)
        return Leadership(leader)

    def _others(self, leader: str) -> list[str]:
        return [address for address in self._members() if address != leader]

    async def _ask(self, address: str) -> Answer:
        if address not in self._members():
            return Answer(address, "", "it has left the pool")
        if self._refusals.too_soon(address):
            return refused(address)
        said = await self._ask_host(address)
        (self._refusals.note if said == refused(address) else self._refusals.forget)(address)
        (self._silent.discard if said.follows else self._silent.add)(address)
        return said


class Turns:
    """Which hosts are asked next, so that each has its turn. Hosts that follow one another differ in their
    addresses: neighbours there are often in the same half of a pool that is split."""

    def __init__(self) -> None:
        self._last = b""

    def next(self, others: Collection[str]) -> list[str]:
        """``A_FEW`` of them, or all; none twice."""
        order = sorted(others, key=_scattered)
        after = [address for address in order if _scattered(address) > self._last]
        few = list(dict.fromkeys((*after, *order)))[:A_FEW]
        self._last = _scattered(few[-1]) if few else b""
        return few


class Refusals:
    """Hosts that refused our password are asked less and less often: many refusals can lock an account."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pauses: dict[str, float] = {}
        self._again: dict[str, float] = {}

    def too_soon(self, address: str) -> bool:
        return self._clock.monotonic() < self._again.get(address, 0.0)

    def note(self, address: str) -> None:
        pause = min(2 * self._pauses.get(address, REFUSED_ONCE_S / 2), REFUSED_OFTEN_S)
        self._pauses[address] = pause
        self._again[address] = self._clock.monotonic() + pause

    def forget(self, address: str) -> None:
        self._pauses.pop(address, None)
        self._again.pop(address, None)


async def canvass(
    leader: str,
    others: Collection[str],
    ask: Ask,
    *,
    wait_for: Collection[str] | None = None,
) -> list[Answer]:
    """Answers of all hosts; ``leader`` took our login a moment ago. With ``wait_for`` only until most of all
    hosts are known to follow it, since nobody else can have a majority then, or all of those have answered.
    """
    answers = {address: Answer(address, "", "it has not answered yet") for address in others}
    answers[leader] = Answer(leader, leader)
    wanted = {*(others if wait_for is None else wait_for)}
    room = asyncio.Semaphore(AT_ONCE)

    async def attempt(address: str) -> Answer:
        async with room:
            return await ask(address)

    asking = {asyncio.ensure_future(attempt(address)) for address in others}
    try:
        while wanted and not (wait_for is not None and _most_follow(leader, answers.values())):
            answered, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            told = {each.result().address: each.result() for each in answered}
            answers |= told
            wanted -= told.keys()
    finally:
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return list(answers.values())


async def ask_whom(address: str, https: PinnedHttps, credentials: list[str]) -> Answer:
    """Whom the host follows; a login that it takes is given back."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            ref = await rpc(https, "session.login_with_password", credentials, ANSWER_WITHIN_S)
    except TimeoutError:
        return Answer(address, "", f"no answer within {ANSWER_WITHIN_S:g} s")
    except (ConnectFailed, ConnectionLost, WrongCertificate) as error:
        return Answer(address, "", str(error))
    except XapiFailure as failure:
        if failure.code == "HOST_IS_SLAVE" and failure.params:
            return Answer(address, failure.params[0])
        if failure.code == "SESSION_AUTHENTICATION_FAILED":
            return refused(address)
        return Answer(address, "", failure.code)
    with suppress(XapiFailure, ConnectFailed, ConnectionLost, WrongCertificate):  # else it expires by itself
        await rpc(https, "session.logout", [str(ref)], ANSWER_WITHIN_S)
    return Answer(address, address)


def refused(address: str) -> Answer:
    """Only a coordinator looks at a password."""
    return Answer(address, address, "refuses our password and is asked seldom")


async def still_leads(https: PinnedHttps, session: str) -> bool:
    """Whether the host knows a session of a moment ago; else it claims nothing any more."""
    try:
        await rpc(https, "pool.get_all", [session], ANSWER_WITHIN_S)
    except (XapiFailure, ConnectFailed, ConnectionLost, WrongCertificate):
        return False
    return True


def _most_follow(leader: str, answers: Collection[Answer]) -> bool:
    return 2 * sum(each.follows == leader for each in answers) > len(answers)


def _scattered(address: str) -> bytes:
    return hashlib.sha256(address.encode()).digest()
