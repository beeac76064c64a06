"""What a role may do (xapi: ocaml/xapi/rbac.ml; ocaml/idl/datamodel.ml ``http_actions``)."""

from services.simulator.model.schema import Model

_POOL_ADMINS = frozenset({"pool-admin"})
_VM_ADMINS = frozenset({"pool-admin", "pool-operator", "vm-power-admin", "vm-admin"})
_VM_OPERATORS = _VM_ADMINS | {"vm-operator"}
_READERS = _VM_OPERATORS | {"read-only"}
HTTP_ROLES = {
    "get_export": _VM_ADMINS,
    "get_export_metadata": _VM_ADMINS,
    "get_export_raw_vdi": _VM_ADMINS,
    "put_import": _VM_ADMINS,
    "put_import_metadata": _VM_ADMINS,
    "put_import_raw_vdi": _VM_ADMINS,
    "get_vncsnapshot": _VM_OPERATORS,
    "get_pool_xml_db_sync": _POOL_ADMINS,
    "put_pool_xml_db_sync": _POOL_ADMINS,
    "get_host_backup": _POOL_ADMINS,
    "put_host_restore": _POOL_ADMINS,
    "get_audit_log": _READERS,
    "rrd_updates": _READERS,
    "get_host_rrd": _READERS,
    "get_vm_rrd": _READERS,
    "get_sr_rrd": _READERS,
}
"""Who may use which handler."""


def permissions(model: Model, role: str) -> list[str]:
    """As a session lists them: calls in lower case, and handlers after ``http/``."""
    calls = {
        message.full_name.lower()
        for cls in model.classes.values()
        for message in cls.messages.values()
        if role in message.roles
    }
    return sorted(calls | {f"http/{name}" for name, roles in HTTP_ROLES.items() if role in roles})
