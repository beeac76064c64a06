"""Calls of class message (xapi: ocaml/xapi/xapi_message.ml)."""

from typing import Any

from services.simulator.dispatch.call import Call
from services.simulator.wire.datetimes import DateTime


async def create(call: Call, name: str, priority: int, cls: str, obj_uuid: str, body: str) -> str:
    return call.pool.messages.create(name, cls, obj_uuid, body, priority)


async def destroy(call: Call, ref: str) -> None:
    call.db.delete("message", ref)


async def get(call: Call, cls: str, obj_uuid: str, since: DateTime) -> dict[str, Any]:
    return {
        row.ref: row
        for row in call.db.rows("message")
        if row["cls"] == cls and row["obj_uuid"] == obj_uuid and row["timestamp"] >= since
    }


async def get_since(call: Call, since: DateTime) -> dict[str, Any]:
    return {row.ref: row for row in call.db.rows("message") if row["timestamp"] >= since}
