"""One login to a pool, shared by everything that talks to it.

Sessions die with the coordinator or its toolstack (xapi: session has PersistNothing); supporters answer
HOST_IS_SLAVE. Both are bridged here: every known member is tried, the coordinator is followed, and we log in
again. Whoever takes our login is used only if no other host leads most of the pool.
"""

import asyncio
from typing import Any

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.hypervisor.adapters.pinned_https import (
    ConnectFailed,
    ConnectionLost,
    HostSilent,
    PinnedHttps,
    WrongCertificate,
)
from services.hypervisor.adapters.xapi_canvass import Canvass, ask_whom, still_leads
from services.hypervisor.adapters.xapi_link_errors import contested, outcome_unknown, unreachable
from services.hypervisor.adapters.xapi_login import Link, Logins, log_out
from services.hypervisor.adapters.xapi_members import Credentials, Members
from services.hypervisor.adapters.xapi_rpc import XapiFailure, rpc
from services.hypervisor.domain.leadership import Answer, Leadership
from services.hypervisor.domain.pool import Member

CALL_TIMEOUT_S = 300.0
_PAUSE_S = 0.5

_NOT_YET = frozenset(
    {
        "HOST_STILL_BOOTING",
        "HOST_UNKNOWN_TO_MASTER",
        "HOST_MASTER_CANNOT_TALK_BACK",
        "HOST_ITS_OWN_SLAVE",
        "HOST_BROKEN",
        "TOO_MANY_PENDING_TASKS",
    }
)
"""Answers of a member that is not itself yet (xapi: emergency mode); nothing was executed."""


class XapiSession:
    """Calls with one shared login; ``patience_s`` is how long an outage is bridged before giving up."""

    def __init__(
        self,
        pool: str,
        members: tuple[Member, ...],
        coordinator: str,
        port: int,
        username: str,
        password: Secret,
        clock: Clock,
        patience_s: float,
    ) -> None:
        self._pool = pool
        self._members = Members(members, port)
        self._credentials = Credentials(username, password)
        self._logins = Logins(pool, self._members, self._credentials, _address(members, coordinator))
        self._canvass = Canvass(lambda: self._members.addresses, self._ask_whom, clock)
        self._clock = clock
        self._patience_s = patience_s
        self._lock = asyncio.Lock()
        self._link: Link | None = None

    @property
    def pool(self) -> str:
        """The pool's name, for sentences."""
        return self._pool

    @property
    def port(self) -> int:
        return self._members.port

    def certificate(self, host_id: str) -> str:
        """The certificate (PEM) a member presents; empty when it is not known."""
        return self._members.certificate(host_id)

    def learn(self, members: tuple[Member, ...], coordinator: str) -> None:
        """Where the hosts are and what they present, as the trusted coordinator told."""
        self._members.learn(members)
        self._logins.learn(_address(members, coordinator))

    async def call(self, method: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """A call that is safe to repeat, and is repeated when its answer was lost. Raises XapiFailure."""
        return await self._call(method, args, timeout_s, repeatable=True)

    async def call_once(self, method: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """A call that must not run twice: repeated only when it certainly has not run.

        Raises Unavailable POOL_OUTCOME_UNKNOWN when it may have run.
        """
        return await self._call(method, args, timeout_s, repeatable=False)

    async def link(self) -> Link:
        """The current login; makes one when there is none."""
        return await self._linked(self._clock.monotonic() + self._patience_s)

    async def leadership(self, *, sampled: bool = False) -> Leadership:
        """Asks all members whom they follow, or when ``sampled`` some, others each time, and all when they do
        not agree. A login at somebody else than who leads is given up.
        """
        ask = self._canvass.some if sampled else self._canvass.everybody
        while True:
            link = await self.link()
            found = await ask(link.address)
            if not found.contested or await still_leads(link.https, link.ref):
                break
            self.forget(link)
        if not found.allows(link.address):
            await self._give_up(link, found)
        return found

    def forget(self, link: Link) -> None:
        """The login turned out to be dead."""
        if self._link is link:
            self._link = None

    def member(self, address: str) -> PinnedHttps:
        """Connections to one host. Raises KeyError for an address that is no member's."""
        return self._members.https(address)

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await log_out(link)
        await self._members.close()

    async def _call(self, method: str, args: tuple[Any, ...], timeout_s: float, *, repeatable: bool) -> Any:
        give_up = self._clock.monotonic() + self._patience_s
        first_failure = True
        while True:
            link = await self._linked(give_up)
            try:
                return await rpc(link.https, method, [link.ref, *args], timeout_s)
            except (ConnectFailed, WrongCertificate) as error:
                self._lost(link, error)
                last = str(error)
            except ConnectionLost as error:
                self._lost(link, error)
                if not repeatable:
                    raise outcome_unknown(self._pool, method) from error
                last = str(error)
            except XapiFailure as failure:
                if failure.code not in ("SESSION_INVALID", "HOST_IS_SLAVE", *_NOT_YET):
                    raise
                self.forget(link)
                self._logins.follow(failure)
                last = failure.code
            if first_failure:  # it may have waited for its answer for long before the outage began
                give_up = self._clock.monotonic() + self._patience_s
                first_failure = False
            if self._clock.monotonic() >= give_up:
                raise unreachable(self._pool, f"{link.address}: {last}")
            await self._clock.sleep(_PAUSE_S if self._link is link else 0)

    def _lost(self, link: Link, error: Exception) -> None:
        """A connection that broke says little of the login; a host that is out of reach leads nobody."""
        if isinstance(error, ConnectFailed | HostSilent):
            self._logins.out_of_reach(link.address)
        if not isinstance(error, ConnectionLost) or isinstance(error, HostSilent):
            self.forget(link)

    async def _linked(self, give_up: float) -> Link:
        async with self._lock:
            while self._link is None:
                link, tried = await self._logins.anywhere()
                found = await self._canvass.hurried(link.address) if link is not None else Leadership("")
                if link is not None and found.allows(link.address):
                    self._link = link
                    break
                if link is not None:
                    await self._give_up(link, found)
                if self._clock.monotonic() >= give_up:
                    if found.contested:
                        raise contested(self._pool, found.dispute)
                    raise unreachable(self._pool, "; ".join(f"{k}: {v}" for k, v in tried.items()))
                await self._clock.sleep(_PAUSE_S)
            return self._link

    async def _ask_whom(self, address: str) -> Answer:
        return await ask_whom(address, self._members.https(address), self._credentials.arguments())

    async def _give_up(self, link: Link, found: Leadership) -> None:
        """Somebody else leads, or nobody can tell. Calls that wait for an answer there are woken."""
        self.forget(link)
        if found.leader:
            self._logins.led_by(found.leader)
        await log_out(link)


def _address(members: tuple[Member, ...], host_id: str) -> str:
    """Empty when the host is none of them."""
    return next((each.address for each in members if each.host_id == host_id), "")
