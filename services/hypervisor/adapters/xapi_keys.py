"""Single keys of maps on objects that are somebody's, or soon will be: what they change meanwhile stays."""

from collections.abc import Mapping

from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession


async def note(session: XapiSession, vm: str, there: Mapping[str, str], key: str, text: str) -> None:
    """``other_config`` of a VM, which was ``there``, has ``text`` under ``key``. May be repeated."""
    if there.get(key, text) != text:
        await session.call("VM.remove_from_other_config", vm, key)
    await add_unless_there(session, "VM.add_to_other_config", vm, key, text)


async def add_unless_there(session: XapiSession, method: str, ref: str, key: str, text: str) -> None:
    """What somebody else has put there stays, as does what we have when an answer was lost."""
    try:
        await session.call(method, ref, key, text)
    except XapiFailure as failure:
        if failure.code != "MAP_DUPLICATE_KEY":
            raise
