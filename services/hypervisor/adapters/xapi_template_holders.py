"""What a template's disks are snapshotted together with: the pool refuses VM.snapshot of a template (xapi:
ocaml/xapi/xapi_vm_lifecycle.ml), a clone of it loses the tracking of changed blocks (xapi_vdi.ml), and a
snapshot of a single disk cannot be named ours from its first moment.

So a VM that is off and marked ours from its first moment gets the template's disks, read-only, for as long as
their snapshot takes. It owns none of them: removing it removes its record and nothing else (xapi_vm.ml
``destroy``).
"""

from collections.abc import Collection

from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_session import XapiSession

_COPIED = (
    "user_version",
    "affinity",
    "memory_static_max",
    "memory_static_min",
    "memory_dynamic_max",
    "memory_dynamic_min",
    "VCPUs_params",
    "VCPUs_max",
    "VCPUs_at_startup",
    "actions_after_shutdown",
    "actions_after_reboot",
    "actions_after_crash",
    "PV_bootloader",
    "PV_kernel",
    "PV_ramdisk",
    "PV_args",
    "PV_bootloader_args",
    "PV_legacy_args",
    "HVM_boot_policy",
    "HVM_boot_params",
    "platform",
    "PCI_bus",
    "recommendations",
)
"""Fields the constructor of a VM has no default for (xapi: datamodel_vm.ml)."""


class XapiTemplateHolders:
    """Making, finding and removing them, each may be repeated."""

    def __init__(self, session: XapiSession, objects: XapiObjects, installation: str) -> None:
        self._session = session
        self._objects = objects
        self._installation = installation

    async def find(self, source_id: str) -> str | None:
        """The holder of a backup source."""
        return next(iter(sorted(await holders(self._objects, source_id))), None)

    async def make(self, source_id: str, template: Record, leave_out: Collection[str]) -> str:
        """A new holder with the template's disks but ``leave_out`` (UUIDs)."""
        for ref in await holders(self._objects, source_id):  # one that was not finished
            await self._objects.destroy_vm(ref)
        tags = {xapi_tags.HOLDER: source_id, xapi_tags.INSTALLATION: self._installation}
        record = {field: template[field] for field in _COPIED} | {
            "name_label": xapi_tags.holder_name(source_id),
            "name_description": "A template is being backed up. Xenkeep removes this.",
            "is_a_template": False,
            "other_config": tags,
        }
        ref = str(await self._session.call_once("VM.create", record))
        for vbd, vdi_ref, vdi in await self._objects.disks_of(template):
            if vdi["uuid"] not in leave_out:
                await self._session.call_once("VBD.create", _attached(ref, vdi_ref, vbd["userdevice"]))
        return ref

    async def remove(self, source_id: str) -> None:
        """The record, and no disk."""
        for ref in await holders(self._objects, source_id):
            await self._objects.destroy_vm(ref)


async def holders(objects: XapiObjects, source_id: str) -> dict[str, Record]:
    """By reference: those that bear the name they were given, which costs the same in a pool of any size."""
    found = await objects.named("VM", xapi_tags.holder_name(source_id))
    return {ref: vm for ref, vm in found.items() if xapi_tags.holder_of(vm) == source_id}


def _attached(vm: str, vdi: str, device: str) -> Record:
    return {
        "VM": vm,
        "VDI": vdi,
        "userdevice": device,
        "bootable": False,
        "mode": "RO",
        "type": "Disk",
        "empty": False,
        "other_config": {},
        "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    }
