"""Work of the pool that outlives a connection: asynchronous calls and the tasks that tell of them.

A task tells its end by an event; with the coordinator's toolstack it VANISHES, and nothing is known of the
work then (xapi: task has PersistNothing). A finished task is always destroyed: the pool keeps 200 at most.
"""

import html
import re
from collections.abc import Awaitable, Callable
from typing import Any

from services.hypervisor.adapters.xapi_link_errors import outcome_unknown
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession

_WAIT_S = 20.0
_VALUE = re.compile(r"<value>([^<]*)</value>")


class TaskVanished(Exception):
    """The pool knows nothing of the task any more."""


Meanwhile = Callable[[str], Awaitable[None]]
"""Called with a task's reference now and then, as long as it is pending."""


async def nothing(_task: str) -> None:
    """Nothing is done meanwhile."""


async def run(
    session: XapiSession, method: str, *args: Any, repeatable: bool, meanwhile: Meanwhile = nothing
) -> list[str]:
    """``Async.<method>`` to its end; the values of its result (xapi: XML-RPC text), none for a void call.

    Raises XapiFailure, or Unavailable POOL_OUTCOME_UNKNOWN when it may have run and must not run twice.
    """
    call = session.call if repeatable else session.call_once
    while True:
        ref = await call(f"Async.{method}", *args)
        try:
            return await finished(session, ref, meanwhile)
        except TaskVanished:
            if not repeatable:
                raise outcome_unknown(session.pool, method) from None
        finally:
            await destroy(session, ref)


async def finished(session: XapiSession, ref: str, meanwhile: Meanwhile = nothing) -> list[str]:
    """Waits for a task; its values. Raises TaskVanished, or XapiFailure when the work failed."""
    token = ""
    while True:
        record = await state(session, ref)
        if record["status"] != "pending":
            return values(str(record["result"]))
        await meanwhile(ref)
        answer = await session.call("event.from", [f"task/{ref}"], token, _WAIT_S, timeout_s=_WAIT_S * 2)
        token = answer["token"] if answer["events"] else ""


async def state(session: XapiSession, ref: str) -> dict[str, Any]:
    """The task's record while pending or successful. Raises TaskVanished, XapiFailure."""
    try:
        record: dict[str, Any] = await session.call("task.get_record", ref)
    except XapiFailure as failure:
        if failure.code == "HANDLE_INVALID":
            raise TaskVanished from failure
        raise
    if record["status"] in ("failure", "cancelled"):
        code, *params = record["error_info"] or ["TASK_CANCELLED"]
        raise XapiFailure(str(code), [str(param) for param in params])
    return record


async def create(session: XapiSession, label: str) -> str:
    """A task of our own, for an HTTP request to complete."""
    return str(await session.call_once("task.create", label, ""))


async def cancel(session: XapiSession, ref: str) -> None:
    """Asks for its end; nothing happens to one that has ended or is gone."""
    try:
        await session.call("task.cancel", ref)
    except XapiFailure as failure:
        if failure.code not in ("HANDLE_INVALID", "OPERATION_NOT_ALLOWED"):
            raise


async def destroy(session: XapiSession, ref: str) -> None:
    """Forgets a task; the pool does it when a pending one ends."""
    try:
        await session.call("task.destroy", ref)
    except XapiFailure as failure:
        if failure.code != "HANDLE_INVALID":
            raise


async def discard(session: XapiSession, ref: str) -> None:
    """Ends and forgets a task of our own: one that no request completes would stay pending for a day."""
    await cancel(session, ref)
    try:
        if (await state(session, ref))["status"] == "pending":
            await session.call("task.set_status", ref, "cancelled")
    except TaskVanished:
        return
    except XapiFailure:
        pass  # it has ended, or the pool is too old for task.set_status and ends it after a day
    await destroy(session, ref)


def values(result: str) -> list[str]:
    """The texts of a task's result: one value, or an array of them."""
    return [html.unescape(text) for text in _VALUE.findall(result) if text]
