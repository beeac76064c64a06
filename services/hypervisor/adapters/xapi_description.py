"""What a person needs to build a pool again by hand, as JSON. No passwords: they are in the database only."""

import json
import re
from typing import Any

from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import NULL, Record
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession

LEFT_OUT = "(left out)"
_SECRET = re.compile(r"pass|secret|chap|cred|token|key", re.IGNORECASE)
_NAMED = "uuid name_label name_description"
_FIELDS = {
    "pool": f"{_NAMED} master default_SR suspend_image_SR crash_dump_SR ha_enabled "
    "ha_host_failures_to_tolerate tags other_config",
    "host": f"{_NAMED} hostname address edition software_version iscsi_iqn multipathing tags other_config",
    "network": f"{_NAMED} bridge MTU purpose tags other_config",
    "PIF": "uuid host network device MAC MTU VLAN management bond_slave_of ip_configuration_mode IP netmask "
    "gateway DNS ipv6_configuration_mode IPv6",
    "Bond": "uuid master slaves mode properties",
    "VLAN": "uuid tagged_PIF untagged_PIF tag",
    "SR": f"{_NAMED} type content_type shared physical_size physical_utilisation tags sm_config other_config",
    "PBD": "uuid host SR device_config currently_attached",
    "VM_appliance": f"{_NAMED} VMs",
    "VMSS": f"{_NAMED} enabled type frequency schedule retained_snapshots VMs",
}
_TEMPLATES = 'field "is_a_template"="true" and field "is_a_snapshot"="false"'
_TEMPLATE_FIELDS = f"{_NAMED} tags memory_static_max VCPUs_max other_config"


async def describe(session: XapiSession) -> bytes:
    """References are UUIDs, or kept when what they refer to is not described."""
    with translating("describing the pool"):
        tables = {kind: await _table(session, kind) for kind in _FIELDS}
        templates = await session.call("VM.get_all_records_where", _TEMPLATES)
    uuids = {ref: record["uuid"] for table in tables.values() for ref, record in table.items()}
    told: dict[str, Any] = {
        kind: [_told(tables[kind][ref], fields, uuids) for ref in sorted(tables[kind])]
        for kind, fields in _FIELDS.items()
    }
    told["template"] = [
        _told(record, _TEMPLATE_FIELDS, uuids)
        for record in sorted(templates.values(), key=lambda each: str(each["uuid"]))
        if not record.get("is_default_template", False)
    ]
    return json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False).encode()


async def _table(session: XapiSession, kind: str) -> dict[str, Record]:
    try:
        records: dict[str, Record] = await session.call(f"{kind}.get_all_records")
    except XapiFailure as failure:
        if failure.code not in ("MESSAGE_METHOD_UNKNOWN", "MESSAGE_REMOVED"):
            raise
        return {}  # a release without this class
    return records


def _told(record: Record, fields: str, uuids: dict[str, str]) -> Record:
    return {name: _plain(record[name], uuids) for name in fields.split() if name in record}


def _plain(value: Any, uuids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: LEFT_OUT if _SECRET.search(key) and text else _plain(text, uuids)
            for key, text in value.items()
        }
    if isinstance(value, list):
        return [_plain(each, uuids) for each in value]
    return "" if value == NULL else uuids.get(value, value) if isinstance(value, str) else value
