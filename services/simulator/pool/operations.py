"""Operations on an object: one at a time, others wait their turn.

A xapi retries a refused call at random moments for up to two hours (xapi: ocaml/xapi/helpers.ml,
``Repeat_with_uniform_backoff``). Here a call is retried whenever its object has changed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from services.simulator.database.database import Change
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, vdi_rules, vm_rules

PATIENCE_S = 7200.0
MAX_WAITING = 100
"""One more may wait, the next is refused (xapi: ocaml/xapi/helpers.ml ``queue_thread``)."""


@asynccontextmanager
async def operation(
    call: Call, cls: str, ref: str, name: str, check: Callable[[Row], None]
) -> AsyncIterator[None]:
    """Hold ``name`` on an object for the length of the block. ``check`` raises what forbids it.

    Raises ``HANDLE_INVALID``, what ``check`` raises, ``TASK_CANCELLED`` when the wait is called off, and
    ``TOO_MANY_PENDING_TASKS`` when too many of the pool's calls wait already.
    """
    await _wait_turn(call, cls, ref, check)
    key = call.task if call.task != NULL_REF else call.pool.new_ref()
    held = {**call.db.row(cls, ref)["current_operations"], key: name}
    call.db.set(cls, ref, "current_operations", held)
    allowed_operations.refresh(call.db, cls, ref)
    try:
        yield
    finally:
        row = call.db.find(cls, ref)
        if row is not None:
            left = {holder: held for holder, held in row["current_operations"].items() if holder != key}
            call.db.set(cls, ref, "current_operations", left)
            allowed_operations.refresh(call.db, cls, ref)


def vm_operation(call: Call, ref: str, name: str) -> AbstractAsyncContextManager[None]:
    """Hold an operation on a VM. Raises what ``vm_rules.check`` does, and ``CANNOT_CONTACT_HOST``."""

    def check(vm: Row) -> None:
        vm_rules.check(call.db, vm, name, call.task)
        host = call.pool.hosts.get(vm["resident_on"])
        if host is not None and not call.pool.hears(host):
            raise XapiFailure("CANNOT_CONTACT_HOST", host.ref)

    return operation(call, "VM", ref, name, check)


def vdi_operation(call: Call, ref: str, name: str) -> AbstractAsyncContextManager[None]:
    """Hold an operation on a disk. Raises what ``vdi_rules.check`` does."""
    return operation(call, "VDI", ref, name, lambda row: vdi_rules.check(call.db, row, name))


async def _wait_turn(call: Call, cls: str, ref: str, check: Callable[[Row], None]) -> None:
    deadline = call.pool.clock.monotonic() + PATIENCE_S
    changed = asyncio.Event()

    def listen(change: Change) -> None:
        if change.row.ref == ref:
            changed.set()

    forget = call.db.listen(listen)
    try:
        while True:
            changed.clear()
            try:
                check(call.db.row(cls, ref))
                return
            except XapiFailure as failure:
                left = deadline - call.pool.clock.monotonic()
                if failure.code != "OTHER_OPERATION_IN_PROGRESS" or left <= 0:
                    raise
            await _either(call, changed, left)
            call.pool.tasks.check(call.task)
    finally:
        forget()


async def _either(call: Call, changed: asyncio.Event, seconds: float) -> None:
    """Until the object changed, the task was cancelled, or time is up. Raises ``TOO_MANY_PENDING_TASKS``."""
    if call.pool.waiting > MAX_WAITING:
        raise XapiFailure("TOO_MANY_PENDING_TASKS")
    call.pool.waiting += 1
    waits = [asyncio.ensure_future(event.wait()) for event in (changed, call.pool.tasks.cancelled(call.task))]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        call.pool.waiting -= 1
        for wait in waits:
            wait.cancel()
