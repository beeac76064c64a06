"""Snapshots of ours (see ports.Snapshots): found by their name from the first moment, by tags afterwards."""

import base64
import binascii
from collections.abc import Collection

import structlog

from services.chassis.errors import InvalidInput, NotFound
from services.hypervisor.adapters import (
    xapi_checkpoints,
    xapi_image_formats,
    xapi_tags,
    xapi_taking,
    xapi_tasks,
)
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_half_made import HalfMade
from services.hypervisor.adapters.xapi_http import XapiHttp
from services.hypervisor.adapters.xapi_objects import NULL, Record, XapiObjects
from services.hypervisor.adapters.xapi_records import device_order, protectable
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.adapters.xapi_template_holders import XapiTemplateHolders
from services.hypervisor.adapters.xapi_times import moment
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.memory import DEVICE
from services.hypervisor.domain.tracking import TrackedDisk, Tracking, TrackingOutcome
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.snapshots import Snapshot, SnapshotDisk, SuspendImage, VmDisk, VmShape

_DESCRIPTION = "Snapshot of a backup that is under way. Xenkeep removes it."

_OF_AN_SR = ("uuid", "type", "name_label", "PBDs")
_NO_SR: Record = {"uuid": "", "type": "", "name_label": "?", "PBDs": []}
_TAKING = frozenset({"snapshot", "snapshot_with_quiesce", "checkpoint"})
_SETTLING_LOOKS = 60
_SETTLING_WAIT_S = 5.0

_log = structlog.get_logger()


class XapiSnapshots:
    """Snapshots on one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects, http: XapiHttp, installation: str) -> None:
        self._session = session
        self._objects = objects
        self._http = http
        self._installation = installation
        self._holders = XapiTemplateHolders(session, objects, installation)

    async def shape(self, vm_id: str) -> VmShape:
        """See ports.Snapshots."""
        with translating(f"reading VM {vm_id}"):
            _, vm = await self._vm(vm_id)
            features = await self._features()
            disks = [
                await self._vm_disk(vbd, vdi, features) for vbd, _, vdi in await self._objects.disks_of(vm)
            ]
            vifs = [await self._objects.record("VIF", ref) for ref in vm["VIFs"]]
        return VmShape(
            display_name=vm["name_label"],
            disks=tuple(sorted(disks, key=lambda disk: device_order(disk.configured.device))),
            interfaces=tuple(ConfiguredInterface(vif["device"], vif["MAC"]) for vif in vifs if vif),
        )

    async def track(self, disk_id: str) -> TrackingOutcome:
        """See ports.Snapshots."""
        with translating(f"reading disk {disk_id}"):
            ref = await self._objects.ref("VDI", disk_id)
            vdi = await self._objects.record("VDI", ref) if ref else None
            if ref is None or vdi is None:
                return TrackingOutcome(Tracking.REFUSED, "the disk is gone")
            if vdi["cbt_enabled"]:
                return TrackingOutcome(Tracking.ON)
            sr = await self._objects.fields("SR", vdi["SR"], ["type"])
            if sr is None or "VDI_CONFIG_CBT" not in (await self._features()).get(sr["type"], {}):
                return TrackingOutcome(Tracking.UNSUPPORTED)
        try:
            await self._session.call("VDI.enable_cbt", ref)
        except XapiFailure as failure:
            _log.warning("tracking refused", disk=disk_id, pool_says=failure.words)
            if failure.code in ("LICENCE_RESTRICTION", "LICENSE_RESTRICTION"):
                return TrackingOutcome(Tracking.UNLICENSED, failure.words)
            if failure.code in ("VDI_INCOMPATIBLE_TYPE", "SR_OPERATION_NOT_SUPPORTED"):
                return TrackingOutcome(Tracking.UNSUPPORTED, failure.words)
            return TrackingOutcome(Tracking.REFUSED, failure.words)
        return TrackingOutcome(Tracking.SWITCHED_ON)

    async def protectable_vm(self, vm_id: str) -> Record:
        """The record of a VM of somebody's; raises as ``shape``."""
        with translating(f"reading VM {vm_id}"):
            return (await self._vm(vm_id))[1]

    async def has_snapshot(self, vm_id: str, source_id: str) -> bool:
        """See ports.Snapshots."""
        with translating(f"looking for the snapshot of VM {vm_id}"):
            vm_ref, vm = await self._vm(vm_id)
            if vm["is_a_template"]:
                vm_ref = await self._holders.find(source_id) or vm_ref
            return await self._find_settled(source_id, vm_ref) is not None

    async def take_snapshot(
        self,
        vm_id: str,
        source_id: str,
        leave_out: Collection[str],
        quiesce: bool = False,
        memory: bool = False,
    ) -> Snapshot:
        """See ports.Snapshots. The tags go on last; until then the name tells whose it is."""
        with translating(f"taking a snapshot of VM {vm_id}"):
            vm_ref, vm = await self._vm(vm_id)
            if vm["is_a_template"]:
                vm_ref = await self._holders.find(source_id) or vm_ref
            ref = await self._find_settled(source_id, vm_ref)
            if ref is None and vm["is_a_template"]:
                vm_ref = await self._holders.make(source_id, vm, leave_out)
            if ref is None and memory:
                ref = await xapi_checkpoints.take(self._session, vm_ref, xapi_tags.snapshot_name(source_id))
            elif ref is None:
                ignored = [ref for disk in leave_out if (ref := await self._objects.ref("VDI", disk))]
                name = xapi_tags.snapshot_name(source_id)
                args = [name, ignored] if ignored else [name]
                method = "VM.snapshot_with_quiesce" if quiesce else "VM.snapshot"
                async with HalfMade(self._objects, vm_ref).named(f"taking a snapshot of VM {vm_id}"):
                    ref = await xapi_taking.take(self._session, method, vm_ref, *args)
            snapshot = await self._objects.record("VM", ref)
            if snapshot is None:
                raise XapiFailure("HANDLE_INVALID", ["VM", ref])
            image = await self._suspend_image(source_id, snapshot)
            disks = await self._tag(source_id, ref, snapshot)
            if vm["is_a_template"]:
                await self._holders.remove(source_id)
        info = snapshot["snapshot_info"]
        return Snapshot(
            snapshot_vm_id=snapshot["uuid"],
            time=moment(snapshot["snapshot_time"]),
            power_state=PowerState(info.get("power-state-at-snapshot", "Running").upper()),
            disks=tuple(sorted(disks, key=lambda disk: device_order(disk.device))),
            quiesced=info.get("disk-snapshot-type") == "quiesced",
            memory=image,
        )

    async def find_disks(self, source_id: str) -> dict[str, str]:
        """See ports.Snapshots (xapi: xapi_vm_migrate.ml ``intra_pool_vdi_remap``)."""
        with translating(f"looking for the disks of the snapshot of backup {source_id}"):
            ref = await self._find(source_id)
            snapshot = await self._objects.record("VM", ref) if ref else None
            if ref is None or snapshot is None:
                return {}
            image = await self._suspend_image(source_id, snapshot)
            found = {disk.device: disk.snapshot_disk_id for disk in await self._tag(source_id, ref, snapshot)}
        return found | ({DEVICE: image.snapshot_disk_id} if image else {})

    async def export_configuration(self, vm_id: str, own_snapshots: bool) -> bytes:
        """See ports.Snapshots."""
        with translating(f"reading the configuration of VM {vm_id}"):
            query = {"uuid": vm_id, "export_snapshots": "true" if own_snapshots else "false"}
            return await self._http.get("/export_metadata", query, f"Xenkeep reads VM {vm_id}")

    async def tracked_disk(self, snapshot_disk_id: str) -> TrackedDisk | None:
        """See ports.Snapshots."""
        with translating(f"reading disk {snapshot_disk_id}"):
            ref = await self._objects.ref("VDI", snapshot_disk_id)
            vdi = await self._objects.record("VDI", ref) if ref else None
            return await self._facts(vdi) if vdi else None

    async def changed_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        """See ports.Snapshots."""
        with translating(f"reading disk {snapshot_disk_id}"):
            base = await self._objects.ref("VDI", base_disk_id)
            new = await self._objects.ref("VDI", snapshot_disk_id)
        if base is None or new is None:
            return "one of the snapshots is gone"
        try:
            told = await xapi_tasks.run(self._session, "VDI.list_changed_blocks", base, new, repeatable=True)
            return base64.b64decode("".join(told), validate=True)
        except XapiFailure as failure:
            return failure.words
        except binascii.Error:
            return "the bitmap of changed blocks is not base64"

    async def _vm(self, vm_id: str) -> tuple[str, Record]:
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

    async def _features(self) -> dict[str, dict[str, object]]:
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

    async def _find_settled(self, source_id: str, vm_ref: str) -> str | None:
        """The snapshot, or None once none is being taken: it may be ours, begun by a call whose answer was
        lost."""
        for _ in range(_SETTLING_LOOKS):
            vm = await self._objects.record("VM", vm_ref)
            under_way = vm is not None and _TAKING & set(vm["current_operations"].values())
            found = await self._find(source_id)
            if found or not under_way:
                return found
            watched = [f"VM/{vm_ref}"]
            token = (await self._session.call("event.from", watched, "", 0.0))["token"]
            await self._session.call("event.from", watched, token, _SETTLING_WAIT_S)
        raise XapiFailure("OTHER_OPERATION_IN_PROGRESS", ["VM", "snapshot"])

    async def _find(self, source_id: str) -> str | None:
        named = await self._objects.named("VM", xapi_tags.snapshot_name(source_id))
        ours = (ref for ref, record in named.items() if xapi_tags.source_of(record) == source_id)
        return next(ours, None)

    async def _tag(self, source_id: str, ref: str, snapshot: Record) -> list[SnapshotDisk]:
        """Marks the snapshot's disks, then itself, as ours; its disks."""
        disks = []
        for vbd, vdi_ref, vdi in await self._objects.disks_of(snapshot):
            if not vdi["is_a_snapshot"]:
                continue
            await self._mark("VDI.set_other_config", vdi_ref, vdi, source_id)
            disks.append(SnapshotDisk(vdi["uuid"], vbd["userdevice"], await self._facts(vdi)))
        await self._mark("VM.set_other_config", ref, snapshot, source_id)
        if snapshot["name_description"] != _DESCRIPTION:
            await self._session.call("VM.set_name_description", ref, _DESCRIPTION)
        return disks

    async def _suspend_image(self, source_id: str, snapshot: Record) -> SuspendImage | None:
        """Marks the memory in a snapshot as ours."""
        found = await xapi_checkpoints.image(self._objects, snapshot)
        if found is None:
            return None
        ref, vdi = found
        await self._mark("VDI.set_other_config", ref, vdi, source_id)
        sr = await self._objects.fields("SR", vdi["SR"], ["uuid"])
        size = int(vdi["virtual_size"])
        return SuspendImage(vdi["uuid"], sr["uuid"] if sr else "", size, xapi_checkpoints.cpu(snapshot))

    async def _mark(self, method: str, ref: str, record: Record, source_id: str) -> None:
        tags = {
            xapi_tags.SOURCE: source_id,
            xapi_tags.OBJECT: record["uuid"],
            xapi_tags.INSTALLATION: self._installation,
        }
        wanted = xapi_tags.tagged(record["other_config"], tags)
        if wanted != record["other_config"]:
            await self._session.call(method, ref, wanted)

    async def _facts(self, vdi: Record) -> TrackedDisk:
        origin = await self._objects.record("VDI", vdi["snapshot_of"]) if vdi["snapshot_of"] != NULL else None
        sr = await self._objects.fields("SR", vdi["SR"], ["uuid"])
        return TrackedDisk(
            disk_id=origin["uuid"] if origin else "",
            sr_id=sr["uuid"] if sr else "",
            size_bytes=int(vdi["virtual_size"]),
            tracked=bool(vdi["cbt_enabled"]),
        )
