"""Roles, and users of a directory (xapi: ocaml/xapi/xapi_role.ml, xapi_subject.ml, xapi_auth.ml)."""

from typing import Any

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool.permissions import permissions


async def get_permissions(call: Call, ref: str) -> list[str]:
    """Permissions are no objects here."""
    call.db.row("role", ref)
    return []


async def get_permissions_name_label(call: Call, ref: str) -> list[str]:
    """Names of the calls, handlers and keys that the role may use."""
    return permissions(call.pool.model, call.db.row("role", ref)["name_label"])


async def get_by_permission(call: Call, permission: str) -> list[str]:
    call.db.row("role", permission)
    return []


async def get_by_permission_name_label(call: Call, label: str) -> list[str]:
    """Roles that have a permission."""
    model, rows = call.pool.model, call.db.rows("role")
    return [row.ref for row in rows if label in permissions(model, row["name_label"])]


async def subject_create(call: Call, record: dict[str, Any]) -> str:
    """Raises ``SUBJECT_ALREADY_EXISTS``."""
    known = {row["subject_identifier"] for row in call.db.rows("subject")}
    if record.get("subject_identifier", "") in known:
        raise XapiFailure("SUBJECT_ALREADY_EXISTS")
    return call.pool.create("subject", **record | {"roles": _pool_admin(call)})


def _pool_admin(call: Call) -> list[str]:
    return [row.ref for row in call.db.rows("role") if row["name_label"] == "pool-admin"]


async def add_to_roles(call: Call, subject: str, role: str) -> None:
    """Raises ``ROLE_NOT_FOUND``, ``ROLE_ALREADY_EXISTS``."""
    if call.db.find("role", role) is None:
        raise XapiFailure("ROLE_NOT_FOUND")
    if role in call.db.row("subject", subject)["roles"]:
        raise XapiFailure("ROLE_ALREADY_EXISTS")
    call.db.add_to_set("subject", subject, "roles", role)


async def remove_from_roles(call: Call, subject: str, role: str) -> None:
    """Raises ``ROLE_NOT_FOUND``."""
    if role not in call.db.row("subject", subject)["roles"]:
        raise XapiFailure("ROLE_NOT_FOUND")
    call.db.remove_from_set("subject", subject, "roles", role)


async def subject_permissions(call: Call, subject: str) -> list[str]:
    roles = call.db.row("subject", subject)["roles"]
    names = [await get_permissions_name_label(call, role) for role in roles]
    return sorted({name for each in names for name in each})


async def refuse_auth(call: Call, *_: object) -> None:
    """No host here knows of users elsewhere. Raises ``AUTH_IS_DISABLED``."""
    raise XapiFailure("AUTH_IS_DISABLED")


async def logout_subject_identifier(call: Call, identifier: str) -> None:
    """Everybody of that directory identity: nobody here has one."""
