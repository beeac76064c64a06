"""Snapshots that failed half-way (xapi: ocaml/xapi/xapi_vm_clone.ml removes its disks, unless it dies, too).

Disks that stay carry no mark of ours, and somebody else may be snapshotting the same disk: they are named for
a person to look at, and never removed by us.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.hypervisor.adapters.xapi_errors import translated
from services.hypervisor.adapters.xapi_objects import XapiObjects
from services.hypervisor.adapters.xapi_rpc import XapiFailure


class HalfMade:
    """Looks at the disks of one VM before and after."""

    def __init__(self, objects: XapiObjects, vm_ref: str) -> None:
        self._objects = objects
        self._vm_ref = vm_ref

    @asynccontextmanager
    async def named(self, doing: str) -> AsyncIterator[None]:
        """Turns what the pool refuses inside into an error for people that names what it left behind."""
        before = await self._snapshots()
        try:
            yield
        except XapiFailure as failure:
            error = translated(failure, doing)
            left = sorted((await self._snapshots()).items() - before.items())
            names = [uuid for ref, uuid in left if await self._is_loose(ref)]
            if names:
                error.message += f" Disks of the snapshot were left behind: {', '.join(names)}."
                error.hint += " Remove those disks when nothing else made them."
            raise error from failure

    async def _snapshots(self) -> dict[str, str]:
        """UUIDs of the snapshots of the VM's disks, by reference."""
        vm = await self._objects.record("VM", self._vm_ref)
        found: dict[str, str] = {}
        for _, _, vdi in await self._objects.disks_of(vm) if vm else ():
            for ref in vdi["snapshots"]:
                snapshot = await self._objects.record("VDI", ref)
                if snapshot is not None:
                    found[ref] = snapshot["uuid"]
        return found

    async def _is_loose(self, ref: str) -> bool:
        snapshot = await self._objects.record("VDI", ref)
        return snapshot is not None and not snapshot["VBDs"]
