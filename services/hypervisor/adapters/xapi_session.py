"""One login to a pool, shared by everything that talks to it.

Sessions die with the coordinator or its toolstack (xapi: session has PersistNothing); supporters answer
HOST_IS_SLAVE. Both are bridged here: every known member is tried, the coordinator is followed, and we log in
again. Whoever takes our login is used only if no other host leads most of the pool. A login carries an
originator so that only our own sessions compete for its cap of 500.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from services.chassis.clock import Clock
from services.chassis.config import Secret
from services.hypervisor.adapters.pinned_https import (
    ConnectFailed,
    ConnectionLost,
    HostSilent,
    PinnedHttps,
    WrongCertificate,
    fingerprint_of_pem,
)
from services.hypervisor.adapters.xapi_canvass import ask_whom, canvass, still_leads
from services.hypervisor.adapters.xapi_link_errors import (
    certificate_changed,
    contested,
    credentials_refused,
    outcome_unknown,
    unreachable,
)
from services.hypervisor.adapters.xapi_rpc import XapiFailure, rpc
from services.hypervisor.domain.leadership import Answer, Leadership, judge
from services.hypervisor.domain.pool import Member

ORIGINATOR = "xenkeep"
API_VERSION = "2.20"
CALL_TIMEOUT_S = 300.0
LOGIN_TIMEOUT_S = 20.0
_PAUSE_S = 0.5
_LOGINS_AT_ONCE = 8

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


@dataclass(frozen=True)
class Link:
    """A login that was good when it was made. ``epoch`` counts logins."""

    address: str
    https: PinnedHttps
    ref: str
    epoch: int


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
        self._port = port
        self._username = username
        self._password = password
        self._clock = clock
        self._patience_s = patience_s
        self._lock = asyncio.Lock()
        self._link: Link | None = None
        self._epoch = 0
        self._clients: dict[tuple[str, str], PinnedHttps] = {}
        self._pins: dict[str, str] = {}
        self._certificates: dict[str, str] = {}
        self._first = ""
        self._mute: set[str] = set()
        self.learn(members, coordinator)

    @property
    def pool(self) -> str:
        """The pool's name, for sentences."""
        return self._pool

    @property
    def port(self) -> int:
        return self._port

    def certificate(self, host_id: str) -> str:
        """The certificate (PEM) a member presents; empty when it is not known."""
        return self._certificates.get(host_id, "")

    def learn(self, members: tuple[Member, ...], coordinator: str) -> None:
        """Where the hosts are and what they present, as the trusted coordinator told."""
        self._pins = {each.address: fingerprint_of_pem(each.certificate_pem) for each in members}
        self._certificates = {each.host_id: each.certificate_pem for each in members}
        self._first = next((each.address for each in members if each.host_id == coordinator), self._first)
        self._mute &= self._pins.keys()

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

    async def leadership(self) -> Leadership:
        """Asks all members whom they follow. A login at somebody else than who leads is given up."""
        while True:
            link = await self.link()
            found = await self._leadership(link)
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
        key = (address, self._pins[address])
        return self._clients.setdefault(key, PinnedHttps(address, self._port, self._pins[address]))

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await _log_out(link)
        for https in self._clients.values():
            await https.close()
        self._clients.clear()

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
                self._follow(failure)
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
            self._mute.add(link.address)
        if not isinstance(error, ConnectionLost) or isinstance(error, HostSilent):
            self.forget(link)

    def _follow(self, failure: XapiFailure) -> None:
        if failure.code == "HOST_IS_SLAVE" and failure.params and failure.params[0] in self._pins:
            self._first = failure.params[0]

    async def _linked(self, give_up: float) -> Link:
        async with self._lock:
            while self._link is None:
                link, tried = await self._login_somewhere()
                found = await self._leadership(link, hurry=True) if link is not None else Leadership("")
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

    async def _leadership(self, link: Link, *, hurry: bool = False) -> Leadership:
        others = [address for address in self._pins if address != link.address]
        return judge(await canvass(link.address, others, self._ask_whom, hurry=hurry))

    async def _ask_whom(self, address: str) -> Answer:
        if address not in self._pins:
            return Answer(address, "", "it has left the pool")
        return await ask_whom(address, self.member(address), self._credentials())

    async def _give_up(self, link: Link, found: Leadership) -> None:
        """Somebody else leads, or nobody can tell. Calls that wait for an answer there are woken."""
        self.forget(link)
        if found.leader:
            self._first = found.leader
            self._mute.discard(found.leader)
        await _log_out(link)

    async def _login_somewhere(self) -> tuple[Link | None, dict[str, str]]:
        """One round through the members; (login, or what each of them answered).

        Who leads is asked alone, and then, or when it was out of reach just now, all others, some at once:
        each silent one takes a while.
        """
        tried: dict[str, str] = {}
        changed: dict[str, str] = {}
        members = [each for each in dict.fromkeys((self._first, *self._pins)) if each in self._pins]
        members.sort(key=lambda each: each in self._mute)
        alone = 0 if self._first in self._mute else 1
        for some in (members[:alone], members[alone:]):
            if (link := await self._login_at_any(some, tried, changed)) is not None:
                self._first = link.address
                return link, tried
        if changed:
            address, presented = next(iter(changed.items()))
            raise certificate_changed(address, self._pins[address], presented)
        return None, tried

    async def _login_at_any(
        self, members: list[str], tried: dict[str, str], changed: dict[str, str]
    ) -> Link | None:
        room = asyncio.Semaphore(_LOGINS_AT_ONCE)

        async def attempt(address: str) -> Link | None:
            async with room:
                return await self._try_login(address, tried, changed)

        attempts = [asyncio.ensure_future(attempt(address)) for address in members]
        try:
            for done in asyncio.as_completed(attempts):
                if (link := await done) is not None:
                    return link
            return None
        finally:
            for each in attempts:
                each.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)

    async def _try_login(self, address: str, tried: dict[str, str], changed: dict[str, str]) -> Link | None:
        """None: why not is in ``tried``, and in ``changed`` which certificate was presented."""
        try:
            link = await self._login(address)
        except WrongCertificate as wrong:
            tried[address] = str(wrong)
            changed[address] = wrong.presented
        except (ConnectFailed, ConnectionLost) as error:
            tried[address] = str(error)
            self._mute.add(address)
            return None
        except XapiFailure as failure:
            if failure.code == "SESSION_AUTHENTICATION_FAILED":
                raise credentials_refused(self._pool, self._username) from failure
            tried[address] = failure.code
            self._follow(failure)
        else:
            self._mute.discard(address)
            return link
        self._mute.discard(address)
        return None

    async def _login(self, address: str) -> Link:
        https = self.member(address)
        ref = await rpc(https, "session.login_with_password", self._credentials(), LOGIN_TIMEOUT_S)
        self._epoch += 1
        return Link(address, https, str(ref), self._epoch)

    def _credentials(self) -> list[str]:
        return [self._username, self._password.reveal(), API_VERSION, ORIGINATOR]


async def _log_out(link: Link) -> None:
    """When this fails the session expires by itself."""
    with suppress(XapiFailure, ConnectFailed, ConnectionLost, WrongCertificate):
        await rpc(link.https, "session.logout", [link.ref], 5.0)
