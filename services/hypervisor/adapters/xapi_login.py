"""Logging in to a pool: which of its hosts takes us, asked in the order in which they are likely to."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from services.hypervisor.adapters.pinned_https import (
    ConnectFailed,
    ConnectionLost,
    PinnedHttps,
    WrongCertificate,
)
from services.hypervisor.adapters.xapi_link_errors import certificate_changed, credentials_refused
from services.hypervisor.adapters.xapi_members import Credentials, Members
from services.hypervisor.adapters.xapi_rpc import XapiFailure, rpc

LOGIN_TIMEOUT_S = 20.0
_LOGINS_AT_ONCE = 8


@dataclass(frozen=True)
class Link:
    """A login that was good when it was made. ``epoch`` counts logins."""

    address: str
    https: PinnedHttps
    ref: str
    epoch: int


class Logins:
    """Remembers who led last, and who was out of reach."""

    def __init__(self, pool: str, members: Members, credentials: Credentials, leader: str) -> None:
        """``leader`` is the address of who leads as far as anybody told."""
        self._pool, self._members, self._credentials = pool, members, credentials
        self._first = leader
        self._mute: set[str] = set()
        self._epoch = 0

    def learn(self, leader: str) -> None:
        """Who leads, as the pool told; nothing when it did not."""
        self._first = leader or self._first
        self._mute &= {*self._members.addresses}

    def led_by(self, leader: str) -> None:
        """It is asked first, as one that can be reached."""
        self._first = leader
        self._mute.discard(leader)

    def out_of_reach(self, address: str) -> None:
        """Whoever is leads nobody."""
        self._mute.add(address)

    def follow(self, failure: XapiFailure) -> None:
        """A supporter names its coordinator."""
        if (
            failure.code == "HOST_IS_SLAVE"
            and failure.params
            and failure.params[0] in self._members.addresses
        ):
            self._first = failure.params[0]

    async def anywhere(self) -> tuple[Link | None, dict[str, str]]:
        """One round through the members; (login, or what each of them answered).

        Who leads is asked alone, and then, or when it was out of reach just now, all others, some at once:
        each silent one takes a while. Raises FailedPrecondition CERTIFICATE_CHANGED, Unauthenticated.
        """
        tried: dict[str, str] = {}
        changed: dict[str, str] = {}
        known = self._members.addresses
        members = [each for each in dict.fromkeys((self._first, *known)) if each in known]
        members.sort(key=lambda each: each in self._mute)
        alone = 0 if self._first in self._mute else 1
        for some in (members[:alone], members[alone:]):
            if (link := await self._at_any(some, tried, changed)) is not None:
                self._first = link.address
                return link, tried
        if changed:
            address, presented = next(iter(changed.items()))
            raise certificate_changed(address, self._members.pin(address), presented)
        return None, tried

    async def _at_any(
        self, members: list[str], tried: dict[str, str], changed: dict[str, str]
    ) -> Link | None:
        room = asyncio.Semaphore(_LOGINS_AT_ONCE)

        async def attempt(address: str) -> Link | None:
            async with room:
                return await self._try(address, tried, changed)

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

    async def _try(self, address: str, tried: dict[str, str], changed: dict[str, str]) -> Link | None:
        """None: why not is in ``tried``, and in ``changed`` which certificate was presented."""
        try:
            link = await self._at(address)
        except WrongCertificate as wrong:
            tried[address] = str(wrong)
            changed[address] = wrong.presented
        except (ConnectFailed, ConnectionLost) as error:
            tried[address] = str(error)
            self._mute.add(address)
            return None
        except XapiFailure as failure:
            if failure.code == "SESSION_AUTHENTICATION_FAILED":
                raise credentials_refused(self._pool, self._credentials.username) from failure
            tried[address] = failure.code
            self.follow(failure)
        else:
            self._mute.discard(address)
            return link
        self._mute.discard(address)
        return None

    async def _at(self, address: str) -> Link:
        https = self._members.https(address)
        arguments = self._credentials.arguments()
        ref = await rpc(https, "session.login_with_password", arguments, LOGIN_TIMEOUT_S)
        self._epoch += 1
        return Link(address, https, str(ref), self._epoch)


async def log_out(link: Link) -> None:
    """When this fails the session expires by itself."""
    with suppress(XapiFailure, ConnectFailed, ConnectionLost, WrongCertificate):
        await rpc(link.https, "session.logout", [link.ref], 5.0)
