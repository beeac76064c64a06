"""The calls that follow from the data model alone: getters, setters, records, lookups."""

from typing import Any

from services.simulator.dispatch import query
from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.model.schema import Class, Message
from services.simulator.model.types import Kind


def accessor(cls: Class, message: Message) -> CallFunction | None:
    """The function behind a message that only reads or writes the database; None for any other message."""
    name = message.name
    match name:
        case "get_all":
            return _all(cls.name)
        case "get_all_records":
            return _all_records(cls.name)
        case "get_all_records_where":
            return _all_records_where(cls.name)
        case "get_record":
            return _record(cls.name)
        case "get_by_uuid":
            return _by_uuid(cls.name)
        case "get_by_name_label":
            return _by_name_label(cls.name)
    verb, _, field = name.partition("_")
    if verb == "get" and field in cls.fields and len(message.params) == 1:
        return _get(cls.name, field)
    if verb == "set" and field in cls.fields and len(message.params) == 2:
        return _set(cls.name, field)
    if name.startswith("add_to_") and name[7:] in cls.fields:
        return _add_to_map(cls.name, name[7:])
    if name.startswith("remove_from_") and name[12:] in cls.fields:
        return _remove_from_map(cls.name, name[12:])
    if verb in ("add", "remove") and field in cls.fields and cls.fields[field].type.kind is Kind.SET:
        return {"add": _add_to_set, "remove": _remove_from_set}[verb](cls.name, field)
    return None


def _all(cls: str) -> CallFunction:
    async def get_all(call: Call) -> list[str]:
        return [row.ref for row in call.db.rows(cls)]

    return get_all


def _all_records(cls: str) -> CallFunction:
    async def get_all_records(call: Call) -> dict[str, Any]:
        return {row.ref: row for row in call.db.rows(cls)}

    return get_all_records


def _all_records_where(cls: str) -> CallFunction:
    async def get_all_records_where(call: Call, expression: str) -> dict[str, Any]:
        holds = query.parse(expression)
        return {row.ref: row for row in call.db.rows(cls) if holds(row)}

    return get_all_records_where


def _record(cls: str) -> CallFunction:
    async def get_record(call: Call, ref: str) -> Any:
        return call.db.row(cls, ref)

    return get_record


def _by_uuid(cls: str) -> CallFunction:
    async def get_by_uuid(call: Call, uuid: str) -> str:
        return call.db.by_uuid(cls, uuid).ref

    return get_by_uuid


def _by_name_label(cls: str) -> CallFunction:
    async def get_by_name_label(call: Call, label: str) -> list[str]:
        return [row.ref for row in call.db.rows(cls) if row["name_label"] == label]

    return get_by_name_label


def _get(cls: str, field: str) -> CallFunction:
    async def get_field(call: Call, ref: str) -> Any:
        return call.db.row(cls, ref)[field]

    return get_field


def _set(cls: str, field: str) -> CallFunction:
    async def set_field(call: Call, ref: str, value: Any) -> None:
        call.db.set(cls, ref, field, value)

    return set_field


def _add_to_map(cls: str, field: str) -> CallFunction:
    async def add_to_map(call: Call, ref: str, key: str, value: Any) -> None:
        call.db.add_to_map(cls, ref, field, key, value)

    return add_to_map


def _remove_from_map(cls: str, field: str) -> CallFunction:
    async def remove_from_map(call: Call, ref: str, key: str) -> None:
        call.db.remove_from_map(cls, ref, field, key)

    return remove_from_map


def _add_to_set(cls: str, field: str) -> CallFunction:
    async def add_to_set(call: Call, ref: str, value: Any) -> None:
        call.db.add_to_set(cls, ref, field, value)

    return add_to_set


def _remove_from_set(cls: str, field: str) -> CallFunction:
    async def remove_from_set(call: Call, ref: str, value: Any) -> None:
        call.db.remove_from_set(cls, ref, field, value)

    return remove_from_set
