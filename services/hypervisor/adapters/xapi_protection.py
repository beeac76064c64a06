"""The protection of a VM from being destroyed, while a restore replaces it.

An import over a VM destroys its devices first and the VM then (xapi: ocaml/xapi/import.ml ``Replace``); with
``destroy`` blocked it fails half-way. So the block is lifted for the import, noted on the VM until then, and
put back when the import fails or the restore is aborted. The VM that replaces it has its own from the point.

The VM is somebody's, and they may change it meanwhile: single keys are added and removed, whole maps are
never written. A block that somebody sets again stays theirs.
"""

from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_keys import add_unless_there, note
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_session import XapiSession

_OPERATION = "destroy"


class XapiProtection:
    """Blocks of VMs that are replaced, on one session. Every step may be repeated."""

    def __init__(self, session: XapiSession, objects: XapiObjects) -> None:
        self._session = session
        self._objects = objects

    async def lift(self, vm_id: str, target_id: str) -> None:
        """Lets an import replace a VM, if it is there. The note is there before the block goes."""
        ref = await self._objects.ref("VM", vm_id)
        vm = await self._objects.record("VM", ref) if ref else None
        if ref is None or vm is None or _OPERATION not in vm["blocked_operations"]:
            return
        noted = f"{target_id} {vm['blocked_operations'][_OPERATION]}"
        await note(self._session, ref, vm["other_config"], xapi_tags.UNPROTECTED, noted)
        await self._session.call("VM.remove_from_blocked_operations", ref, _OPERATION)

    async def put_back(self, vms: dict[str, Record], target_id: str) -> None:
        """Protects those of the VMs (by reference) again that a restore did not replace."""
        for ref, vm in vms.items():
            owner, _, why = vm["other_config"].get(xapi_tags.UNPROTECTED, "").partition(" ")
            if owner != target_id:
                continue
            await add_unless_there(self._session, "VM.add_to_blocked_operations", ref, _OPERATION, why)
            await self._session.call("VM.remove_from_other_config", ref, xapi_tags.UNPROTECTED)
