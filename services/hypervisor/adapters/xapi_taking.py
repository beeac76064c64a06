"""Taking a snapshot without waiting in the pool for a migration to end.

A pool lets a call wait for up to two hours while another operation is under way, and says nothing (xapi:
ocaml/xapi/helpers.ml ``Repeat_with_uniform_backoff``): the call is withdrawn, so that whoever asked knows.
"""

from typing import Any

from services.chassis.errors import ResourceExhausted
from services.hypervisor.adapters import xapi_tasks
from services.hypervisor.adapters.xapi_migrations import is_migrating
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.care import MIGRATING


async def take(session: XapiSession, method: str, vm_ref: str, *args: Any) -> str:
    """The snapshot's reference. Raises ResourceExhausted VM_MIGRATING, XapiFailure, and what
    ``xapi_tasks.run`` does."""
    withdrawn = False

    async def withdraw(task: str) -> None:
        nonlocal withdrawn
        if is_migrating({"current_operations": await session.call("VM.get_current_operations", vm_ref)}):
            withdrawn = True
            await xapi_tasks.cancel(session, task)

    try:
        [ref] = await xapi_tasks.run(session, method, vm_ref, *args, repeatable=False, meanwhile=withdraw)
    except XapiFailure as failure:
        if withdrawn and failure.code == "TASK_CANCELLED":
            raise ResourceExhausted(
                MIGRATING.message, reason=MIGRATING.reason, hint=MIGRATING.hint
            ) from failure
        raise
    return ref
