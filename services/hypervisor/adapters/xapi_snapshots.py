"""Snapshots of ours (see ports.Snapshots): found by their name from the first moment, by tags afterwards."""

from collections.abc import Collection

from services.hypervisor.adapters import xapi_checkpoints, xapi_tags, xapi_taking
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_half_made import HalfMade
from services.hypervisor.adapters.xapi_http import XapiHttp
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_records import device_order
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.adapters.xapi_shapes import XapiShapes
from services.hypervisor.adapters.xapi_template_holders import XapiTemplateHolders
from services.hypervisor.adapters.xapi_times import moment
from services.hypervisor.adapters.xapi_tracking import XapiTracking
from services.hypervisor.domain.memory import DEVICE
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.snapshots import Snapshot, SnapshotDisk, SuspendImage

_DESCRIPTION = "Snapshot of a backup that is under way. Xenkeep removes it."
_TAKING = frozenset({"snapshot", "snapshot_with_quiesce", "checkpoint"})
_SETTLING_LOOKS = 60
_SETTLING_WAIT_S = 5.0


class XapiSnapshots:
    """Snapshots on one session."""

    def __init__(
        self,
        session: XapiSession,
        objects: XapiObjects,
        shapes: XapiShapes,
        tracking: XapiTracking,
        http: XapiHttp,
        installation: str,
    ) -> None:
        self._session = session
        self._objects = objects
        self._shapes = shapes
        self._tracking = tracking
        self._http = http
        self._installation = installation
        self._holders = XapiTemplateHolders(session, objects, installation)

    async def has_snapshot(self, vm_id: str, source_id: str) -> bool:
        """See ports.Snapshots."""
        with translating(f"looking for the snapshot of VM {vm_id}"):
            vm_ref, vm = await self._shapes.vm(vm_id)
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
            vm_ref, vm = await self._shapes.vm(vm_id)
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
            disks.append(SnapshotDisk(vdi["uuid"], vbd["userdevice"], await self._tracking.facts(vdi)))
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
