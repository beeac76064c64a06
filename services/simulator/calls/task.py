"""Calls of class task (xapi: ocaml/xapi/xapi_task.ml)."""

from typing import Any

from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.failure import XapiFailure
from services.simulator.pool.permissions import OF_ANYBODYS_TASKS, may_touch_any_task


async def create(call: Call, label: str, description: str) -> str:
    """A task that its client drives, or gives to an HTTP request."""
    return call.pool.tasks.create(label, description, call.host.ref, session=call.session)


async def destroy(call: Call, ref: str) -> None:
    """Raises ``RBAC_PERMISSION_DENIED`` for somebody else's task."""
    _check_owner(call, ref)
    call.pool.tasks.destroy(ref)


async def cancel(call: Call, ref: str) -> None:
    """Raises ``RBAC_PERMISSION_DENIED`` for somebody else's task."""
    _check_owner(call, ref)
    call.pool.tasks.cancel(ref)


def setter(field: str) -> CallFunction:
    """Writes a field that a client drives itself, of its own tasks only; what it writes is not checked
    (recorded).
    """

    async def set_field(call: Call, ref: str, value: Any) -> None:
        _check_owner(call, ref)
        call.db.set("task", ref, field, value)

    return set_field


def _check_owner(call: Call, ref: str) -> None:
    call.db.row("task", ref)
    user = call.pool.sessions.user(call.session)
    if not call.pool.tasks.belongs_to(ref, user) and not may_touch_any_task(
        call.pool.sessions.use(call.session)
    ):
        raise XapiFailure("RBAC_PERMISSION_DENIED", OF_ANYBODYS_TASKS, "No permission in user session")
