"""Asking the hosts of a pool whom they follow.

A supporter names its coordinator before it looks at the credentials; only a coordinator looks at them (xapi:
ocaml/xapi/xapi_session.ml ``login_with_password``). Each is asked at its own certificate, as for any login.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from services.hypervisor.adapters.pinned_https import (
    ConnectFailed,
    ConnectionLost,
    PinnedHttps,
    WrongCertificate,
)
from services.hypervisor.adapters.xapi_rpc import XapiFailure, rpc
from services.hypervisor.domain.leadership import Answer

ANSWER_WITHIN_S = 8.0
"""Longer than it takes to find out that no connection comes about."""
AT_ONCE = 16


async def canvass(
    leader: str, others: Collection[str], ask: Callable[[str], Awaitable[Answer]], *, hurry: bool
) -> list[Answer]:
    """Answers of all hosts; ``leader`` took our login a moment ago. In a ``hurry`` only until most of all
    hosts are known to follow it: then nobody else can have a majority.
    """
    answers = {address: Answer(address, "", "it has not answered yet") for address in others}
    answers[leader] = Answer(leader, leader)
    room = asyncio.Semaphore(AT_ONCE)

    async def attempt(address: str) -> Answer:
        async with room:
            return await ask(address)

    asking = [asyncio.ensure_future(attempt(address)) for address in others]
    try:
        for done in asyncio.as_completed(asking):
            answer = await done
            answers[answer.address] = answer
            in_favour = sum(each.follows == leader for each in answers.values())
            if hurry and 2 * in_favour > len(answers):
                break
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
            return Answer(address, address)
        return Answer(address, "", failure.code)
    with suppress(XapiFailure, ConnectFailed, ConnectionLost, WrongCertificate):  # else it expires by itself
        await rpc(https, "session.logout", [str(ref)], ANSWER_WITHIN_S)
    return Answer(address, address)


async def still_leads(https: PinnedHttps, session: str) -> bool:
    """Whether the host knows a session of a moment ago; else it claims nothing any more."""
    try:
        await rpc(https, "pool.get_all", [session], ANSWER_WITHIN_S)
    except (XapiFailure, ConnectFailed, ConnectionLost, WrongCertificate):
        return False
    return True
