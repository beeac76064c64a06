"""Resource names: ``pools/{pool}/vms/{vm}`` and their like."""

import re
import uuid

from services.chassis.errors import InvalidInput

_PATTERN = re.compile(r"pools/([^/]+)/(vms|backupSources|restoreTargets)/([^/]+)")


def pool_name(pool_id: str) -> str:
    return f"pools/{pool_id}"


def vm_name(pool_id: str, vm_id: str) -> str:
    return f"pools/{pool_id}/vms/{vm_id}"


def source_name(pool_id: str, source_id: str) -> str:
    return f"pools/{pool_id}/backupSources/{source_id}"


def target_name(pool_id: str, target_id: str) -> str:
    return f"pools/{pool_id}/restoreTargets/{target_id}"


def parse(name: str, collection: str) -> tuple[str, str]:
    """(pool UUID, UUID within ``collection``); raises InvalidInput NAME_INVALID."""
    match = _PATTERN.fullmatch(name)
    if match is None or match[2] != collection or not is_uuid(match[1]) or not is_uuid(match[3]):
        raise InvalidInput(
            f"{name!r} is not a name of the form pools/<uuid>/{collection}/<uuid>.",
            reason="NAME_INVALID",
            hint="Use a name as another answer of this service gave it.",
        )
    return match[1], match[3]


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in its usual lower-case form."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def require_uuid(text: str, what: str) -> str:
    """``text`` if it is a UUID; raises InvalidInput ID_INVALID."""
    if not is_uuid(text):
        raise InvalidInput(
            f"{what} {text!r} is not a UUID.", reason="ID_INVALID", hint="Give a lower-case UUID."
        )
    return text
