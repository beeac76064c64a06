"""What a role may do (xapi: ocaml/xapi/rbac.ml; ocaml/idl/datamodel.ml ``http_actions``)."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from services.simulator.model.schema import Message, Model

_LADDER = ("read-only", "vm-operator", "vm-admin", "vm-power-admin", "pool-operator", "pool-admin")
"""Each may what those before it may."""


def _from(least: str) -> frozenset[str]:
    return frozenset(_LADDER[_LADDER.index(least) :])


_READERS = _from("read-only")
_VM_OPERATORS = _from("vm-operator")
_VM_ADMINS = _from("vm-admin")
_VM_POWER_ADMINS = _from("vm-power-admin")
_POOL_OPERATORS = _from("pool-operator")
_POOL_ADMINS = _from("pool-admin")
_UPDATERS = _POOL_OPERATORS | {"client-cert"}

HANDLERS: Mapping[str, frozenset[str]] = {
    "connect_console": _VM_OPERATORS,
    "connect_console/host_console": _POOL_ADMINS,
    "connect_console_ws": _VM_OPERATORS,
    "connect_console_ws/host_console_ws": _POOL_ADMINS,
    "connect_remotecmd": _POOL_ADMINS,
    "get_audit_log": _READERS,
    "get_blob": _READERS,
    "get_config_sync": _POOL_ADMINS,
    "get_export": _VM_ADMINS,
    "get_export_metadata": _VM_ADMINS,
    "get_export_raw_vdi": _VM_ADMINS,
    "get_host_backup": _POOL_ADMINS,
    "get_host_logs_download": _POOL_OPERATORS,
    "get_pool_xml_db_sync": _POOL_ADMINS,
    "get_root": _READERS,
    "get_services": _READERS,
    "get_services_sm": _VM_POWER_ADMINS,
    "get_services_xenops": _VM_POWER_ADMINS,
    "get_system_status": _POOL_OPERATORS,
    "get_updates": _UPDATERS,
    "get_vncsnapshot": _VM_OPERATORS,
    "get_vncsnapshot/host_console": _POOL_ADMINS,
    "get_wlb_diagnostics": _READERS,
    "get_wlb_report": _READERS,
    "host_rrd": _READERS,
    "put_blob": _VM_POWER_ADMINS,
    "put_host_restore": _POOL_ADMINS,
    "put_import": _VM_ADMINS,
    "put_import_metadata": _VM_ADMINS,
    "put_import_raw_vdi": _VM_ADMINS,
    "put_messages": _VM_POWER_ADMINS,
    "put_pool_patch_upload": _POOL_OPERATORS,
    "put_pool_xml_db_sync": _POOL_ADMINS,
    "put_services": _POOL_ADMINS,
    "put_services_sm": _VM_POWER_ADMINS,
    "put_services_xenops": _VM_POWER_ADMINS | {"client-cert"},
    "rrd": _POOL_ADMINS,
    "rrd_updates": _READERS,
    "sr_rrd": _READERS,
    "vm_rrd": _READERS,
}
"""Who may use which handler; what follows a slash is for those objects alone. The doors ask this table, so
that what a session is told and what it may are one. Handlers of figures go by their path (xapi:
constants.ml).
"""
_NEWCOMERS = {"put_member": _POOL_OPERATORS}
"""By what xapi does with calls between hosts when one joins a pool; no session lists it."""

OF_ANYBODYS_TASKS = "task.destroy/any"
"""The permission to destroy, cancel and write to tasks of others."""
_EXTRA = {OF_ANYBODYS_TASKS: _POOL_OPERATORS}

_FOLDERS = {"folder": _VM_OPERATORS, "XenCenter.CustomFields.*": _VM_OPERATORS}
KEYS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "SR": _FOLDERS,
    "VDI": _FOLDERS,
    "VM": _FOLDERS | {"pci": _POOL_ADMINS},
    "host": _FOLDERS,
    "network": _FOLDERS | {"XenCenterCreateInProgress": _VM_OPERATORS},
    "pool": _FOLDERS | {"EMPTY_FOLDERS": _VM_OPERATORS},
    "task": {"XenCenterUUID": _VM_OPERATORS, "applies_to": _VM_OPERATORS},
}
"""Keys of ``other_config``, by class, that may be added and removed by others than the rest of it (xapi:
ocaml/idl/datamodel.ml ``map_keys_roles``).
"""
_KEYED = ("add_to_other_config", "remove_from_other_config")


def of_call(message: Message, values: Sequence[Any]) -> tuple[str, frozenset[str]]:
    """The permission that a call with these parameters takes, and who has it (xapi: ocaml/xapi/rbac.ml
    ``permission_of_action``).
    """
    if message.name in _KEYED:
        for key, roles in KEYS.get(message.cls, {}).items():
            if fnmatchcase(str(values[1]).lower(), key.lower()):
                return _key_permission(message.full_name, key), roles
    return message.full_name.lower(), message.roles


def _key_permission(call: str, key: str) -> str:
    return f"{call}/key:{key}".lower()


def may_use(role: str, handler: str) -> bool:
    """Raises ``KeyError`` for a handler that is in no table: that is a defect of its door."""
    return role in (_NEWCOMERS.get(handler) or HANDLERS[handler])


def may_touch_any_task(role: str) -> bool:
    """Whether a role has ``OF_ANYBODYS_TASKS``."""
    return role in _EXTRA[OF_ANYBODYS_TASKS]


def permissions(model: Model, role: str) -> list[str]:
    """As a session lists them: calls in lower case, and handlers after ``http/``."""
    calls = {
        message.full_name.lower()
        for cls in model.classes.values()
        for message in cls.messages.values()
        if role in message.roles
    }
    others = {f"http/{name}": roles for name, roles in HANDLERS.items()} | _EXTRA
    for cls, keys in KEYS.items():
        for key, roles in keys.items():
            others |= {_key_permission(f"{cls}.{call}", key): roles for call in _KEYED}
    return sorted(calls | {name for name, roles in others.items() if role in roles})
