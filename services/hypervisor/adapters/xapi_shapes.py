"""VMs as a backup finds them: their disks, what each storage can do, and what keeps it from doing it."""

from services.chassis.errors import InvalidInput, NotFound
from services.hypervisor.adapters import xapi_image_formats
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_records import device_order, protectable
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.ports.snapshots import VmDisk, VmShape

_OF_AN_SR = ("uuid", "type", "name_label", "PBDs")
_NO_SR: Record = {"uuid": "", "type": "", "name_label": "?", "PBDs": []}


class XapiShapes:
    """Read on one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects) -> None:
        self._session = session
        self._objects = objects

    async def shape(self, vm_id: str) -> VmShape:
        """See ports.Snapshots."""
        with translating(f"reading VM {vm_id}"):
            _, vm = await self.vm(vm_id)
            features = await self.features()
            disks = [
                await self._vm_disk(vbd, vdi, features) for vbd, _, vdi in await self._objects.disks_of(vm)
            ]
            vifs = [await self._objects.record("VIF", ref) for ref in vm["VIFs"]]
        return VmShape(
            display_name=vm["name_label"],
            disks=tuple(sorted(disks, key=lambda disk: device_order(disk.configured.device))),
            interfaces=tuple(ConfiguredInterface(vif["device"], vif["MAC"]) for vif in vifs if vif),
        )

    async def protectable_vm(self, vm_id: str) -> Record:
        """The record of a VM of somebody's; raises as ``shape``."""
        with translating(f"reading VM {vm_id}"):
            return (await self.vm(vm_id))[1]

    async def vm(self, vm_id: str) -> tuple[str, Record]:
        """Reference and record. Raises NotFound, and InvalidInput for what cannot be backed up."""
        ref = await self._objects.ref("VM", vm_id)
        vm = await self._objects.record("VM", ref) if ref else None
        if ref is None or vm is None:
            raise NotFound(
                f"Pool {self._session.pool} has no VM {vm_id}.",
                reason="VM_UNKNOWN",
                hint="List the VMs; it may have been removed or migrated to another pool.",
            )
        if not protectable(vm):
            raise InvalidInput(
                f"{vm['name_label']!r} ({vm_id}) is a default template, a snapshot or a control domain.",
                reason="VM_NOT_PROTECTABLE",
                hint="Choose a VM, or a template of your own.",
            )
        return ref, vm

    async def features(self) -> dict[str, dict[str, object]]:
        """What each type of storage repository can do."""
        drivers = await self._session.call("SM.get_all_records")
        return {driver["type"]: driver["features"] for driver in drivers.values()}

    async def _vm_disk(self, vbd: Record, vdi: Record, features: dict[str, dict[str, object]]) -> VmDisk:
        sr = await self._objects.fields("SR", vdi["SR"], _OF_AN_SR) or _NO_SR
        obstacle = ""
        if "VDI_SNAPSHOT" not in features.get(sr["type"], {}):
            obstacle = f"its storage repository {sr['name_label']!r} cannot take snapshots"
        elif vdi["sharable"]:
            obstacle = "sharable disks cannot be snapshotted"
        elif vdi["on_boot"] == "reset":
            obstacle = "it is reset at every boot"
        failed = ""
        if vdi["missing"]:
            failed = "its storage repository does not find it"
        elif sr["uuid"] and not await self._plugged(sr):
            failed = f"its storage repository {sr['name_label']!r} is not plugged in on any host"
        return VmDisk(
            configured=ConfiguredDisk(
                disk_id=vdi["uuid"],
                device=vbd["userdevice"],
                display_name=vdi["name_label"],
                description=vdi["name_description"],
                tags=tuple(vdi["tags"]),
                sr_id=sr["uuid"],
                image_format=xapi_image_formats.told(vdi),
            ),
            size_bytes=int(vdi["virtual_size"]),
            tracked=bool(vdi["cbt_enabled"]),
            obstacle=failed or obstacle,
            sr_display_name=sr["name_label"],
            failed=bool(failed),
        )

    async def _plugged(self, sr: Record) -> bool:
        for ref in sr["PBDs"]:
            pbd = await self._objects.record("PBD", ref)
            if pbd is not None and pbd["currently_attached"]:
                return True
        return False
