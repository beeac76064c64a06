"""Calls of classes that are records and nothing more."""

from typing import Any

from services.simulator.dispatch.call import Call, CallFunction


def creator(cls: str) -> CallFunction:
    """The constructor of a class without side effects."""

    async def create(call: Call, record: dict[str, Any]) -> str:
        return call.pool.create(cls, **record)

    return create


def destroyer(cls: str) -> CallFunction:
    async def destroy(call: Call, ref: str) -> None:
        call.db.delete(cls, ref)

    return destroy
