"""Calls of class session (xapi: ocaml/xapi/xapi_session.ml)."""

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure


async def login_with_password(call: Call, name: str, password: str, version: str, originator: str) -> str:
    """A supporter names the coordinator before it looks at the credentials."""
    if call.host is not call.pool.coordinator:
        raise XapiFailure("HOST_IS_SLAVE", call.pool.coordinator.address)
    return await call.pool.sessions.log_in(call.host.ref, name, password, originator)


async def slave_local_login_with_password(call: Call, name: str, password: str) -> str:
    return await call.pool.sessions.log_in(call.host.ref, name, password, "")


async def logout(call: Call) -> None:
    call.pool.sessions.end(call.session)


async def change_password(call: Call, old: str, new: str) -> None:
    """The old password is not asked of a local superuser (recorded)."""
    call.pool.sessions.change_password(call.db.row("session", call.session)["auth_user_name"], new)


async def get_all_subject_identifiers(call: Call) -> list[str]:
    return []
