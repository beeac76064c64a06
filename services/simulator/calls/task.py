"""Calls of class task (xapi: ocaml/xapi/xapi_task.ml)."""

from services.simulator.dispatch.call import Call


async def create(call: Call, label: str, description: str) -> str:
    """A task that its client drives, or gives to an HTTP request."""
    return call.pool.tasks.create(label, description, call.host.ref)


async def destroy(call: Call, ref: str) -> None:
    call.db.row("task", ref)
    call.pool.tasks.destroy(ref)


async def cancel(call: Call, ref: str) -> None:
    call.pool.tasks.cancel(ref)
