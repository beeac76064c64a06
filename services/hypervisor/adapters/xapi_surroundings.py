"""What belongs to a VM and is not in its metadata export (see ports.Snapshots)."""

from services.hypervisor.adapters import xapi_checkpoints, xapi_image_formats, xapi_tags
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import NULL, Record, XapiObjects
from services.hypervisor.adapters.xapi_records import device_order
from services.hypervisor.adapters.xapi_times import moment
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.surroundings import OwnSnapshot, Surroundings
from services.hypervisor.ports.snapshots import SuspendImage, VmDisk, VmShape


class XapiSurroundings:
    """Reads on one session."""

    def __init__(self, objects: XapiObjects) -> None:
        self._objects = objects

    async def surroundings(self, vm_id: str) -> Surroundings:
        """See ports.Snapshots. Parents of ours are passed over."""
        with translating(f"reading what belongs to VM {vm_id}"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.record("VM", ref) if ref else None
            if vm is None:
                return Surroundings()
            found = {each: await self._objects.record("VM", each) for each in vm["snapshots"]}
            records = {each: record for each, record in found.items() if record is not None}
            appliance = await self._objects.record("VM_appliance", vm.get("appliance", NULL))
        snapshots = [
            _described(record, records) for record in records.values() if not xapi_tags.source_of(record)
        ]
        return Surroundings(
            appliance_id=appliance["uuid"] if appliance else "",
            snapshots=tuple(sorted(snapshots, key=lambda each: (each.time, each.snapshot_id))),
        )

    async def snapshot_shape(self, snapshot_id: str) -> VmShape | None:
        """See ports.Snapshots."""
        with translating(f"reading snapshot {snapshot_id}"):
            ref = await self._objects.ref("VM", snapshot_id)
            vm = await self._objects.record("VM", ref) if ref else None
            if vm is None:
                return None
            disks = [await self._disk(vbd, vdi) for vbd, _, vdi in await self._objects.disks_of(vm)]
            vifs = [await self._objects.record("VIF", each) for each in vm["VIFs"]]
            memory = await self._memory(vm)
        return VmShape(
            display_name=vm["name_label"],
            disks=tuple(sorted(disks, key=lambda disk: device_order(disk.configured.device))),
            interfaces=tuple(ConfiguredInterface(vif["device"], vif["MAC"]) for vif in vifs if vif),
            memory=memory,
        )

    async def _memory(self, vm: Record) -> SuspendImage | None:
        found = await xapi_checkpoints.image(self._objects, vm)
        if found is None or found[1]["missing"]:
            return None
        _, vdi = found
        sr = await self._objects.fields("SR", vdi["SR"], ["uuid"])
        size = int(vdi["virtual_size"])
        return SuspendImage(vdi["uuid"], sr["uuid"] if sr else "", size, xapi_checkpoints.cpu(vm))

    async def _disk(self, vbd: Record, vdi: Record) -> VmDisk:
        sr = await self._objects.fields("SR", vdi["SR"], ("uuid", "name_label"))
        obstacle = "its data was removed" if vdi["type"] == "cbt_metadata" else ""
        obstacle = "its storage repository does not find it" if vdi["missing"] else obstacle
        return VmDisk(
            configured=ConfiguredDisk(
                disk_id=vdi["uuid"],
                device=vbd["userdevice"],
                display_name=vdi["name_label"],
                description=vdi["name_description"],
                tags=tuple(vdi["tags"]),
                sr_id=sr["uuid"] if sr else "",
                image_format=xapi_image_formats.told(vdi),
            ),
            size_bytes=int(vdi["virtual_size"]),
            tracked=False,
            obstacle=obstacle,
            sr_display_name=sr["name_label"] if sr else "",
            failed=bool(obstacle),
        )


def _described(record: Record, all_: dict[str, Record]) -> OwnSnapshot:
    parent = all_.get(record["parent"])
    for _ in all_:
        if parent is None or not xapi_tags.source_of(parent):
            break
        parent = all_.get(parent["parent"])
    return OwnSnapshot(
        snapshot_id=record["uuid"],
        display_name=record["name_label"],
        description=record["name_description"],
        time=moment(record["snapshot_time"]),
        parent_id=parent["uuid"] if parent else "",
        with_memory=record["power_state"] == "Suspended",
    )
