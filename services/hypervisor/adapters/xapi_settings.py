"""Settings of a VM that an import may leave behind, put back afterwards (xapi: ocaml/xapi/import.ml,
xapi_vm.ml ``create``: blocked operations are ignored, the appliance is cleared).

Compared with what the archive says, so that a release which keeps them is left alone, and repeating does
nothing.
"""

from collections.abc import Collection
from typing import Any

import structlog

from services.hypervisor.adapters import xapi_metadata
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_gpus import XapiGpus
from services.hypervisor.adapters.xapi_objects import NULL, Record, XapiObjects
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession

_OURS = "Xenkeep is backing this VM up"
"""How the text of a block begins that was ours when the archive was made."""
COMPARED = (
    "name_description",
    "tags",
    "blocked_operations",
    "xenstore_data",
    "order",
    "start_delay",
    "shutdown_delay",
    "actions_after_shutdown",
    "actions_after_reboot",
    "actions_after_crash",
    "recommendations",
    "VCPUs_params",
)

_log = structlog.get_logger()


class XapiSettings:
    """Settings on one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects, gpus: XapiGpus) -> None:
        self._session = session
        self._objects = objects
        self._gpus = gpus

    async def complete_vm(
        self, vm_id: str, archive: bytes, appliance_id: str, without_gpus: Collection[str]
    ) -> tuple[str, ...]:
        """See ports.Restores."""
        wanted = xapi_metadata.vm_fields(archive)
        wrong = []
        with translating(f"putting the settings of VM {vm_id} back"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.record("VM", ref) if ref else None
            if ref is None or vm is None:
                raise XapiFailure("UUID_INVALID", ["VM", vm_id])
            for field in COMPARED:
                if field in wanted and (told := await self._set(ref, vm, field, wanted[field])):
                    wrong.append(told)
            if appliance_id and vm["appliance"] == NULL:
                appliance = await self._objects.ref("VM_appliance", appliance_id)
                if appliance is None:
                    wrong.append(f"its appliance {appliance_id} is gone")
                elif told := await self._write(ref, vm, "appliance", appliance):
                    wrong.append(told)
            wrong += await self._gpus.complete(ref, vm, archive, without_gpus)
            await self._objects.renew_allowed_operations(ref)
        return tuple(wrong)

    async def _set(self, ref: str, vm: Record, field: str, text: Any) -> str:
        """Why not, or nothing."""
        value = _typed(text, vm[field])
        if field == "blocked_operations":
            value = {name: why for name, why in value.items() if not why.startswith(_OURS)}
        there = sorted(vm[field]) if isinstance(vm[field], list) else vm[field]
        if value == there:
            return ""
        return await self._write(ref, vm, field, value)

    async def _write(self, ref: str, vm: Record, field: str, value: Any) -> str:
        """Why not, or nothing. Some fields, such as the appliance, are a pool operator's alone."""
        try:
            await self._session.call(f"VM.set_{field}", ref, value)
        except XapiFailure as failure:
            _log.warning("a setting was not put back", vm=vm["uuid"], field=field, pool_says=failure.words)
            return f"{field} could not be set: {failure.words}"
        return ""


def _typed(value: Any, like: Any) -> Any:
    """A value of the archive, where numbers are texts, as the record has it."""
    if isinstance(like, bool):
        return value == "1"
    if isinstance(like, int):
        return int(value)
    return sorted(value) if isinstance(like, list) else value
