"""Finding and removing single objects of a pool, so that each removal may be repeated."""

from collections.abc import Collection
from typing import Any

from services.chassis.clock import Clock
from services.hypervisor.adapters import xapi_tasks
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession

Record = dict[str, Any]
NULL = "OpaqueRef:NULL"
_TRIES = 10
_PAUSE_S = 1.0
_NO_RIGHT = "RBAC_PERMISSION_DENIED"


class XapiObjects:
    """Lookups and removals on one session."""

    def __init__(self, session: XapiSession, clock: Clock) -> None:
        self._call = session.call
        self._session = session
        self._clock = clock

    async def ref(self, kind: str, uuid: str) -> str | None:
        """The reference of an object, or None when there is none of that UUID."""
        try:
            return str(await self._call(f"{kind}.get_by_uuid", uuid))
        except XapiFailure as failure:
            if failure.code in ("UUID_INVALID", "HANDLE_INVALID"):
                return None
            raise

    async def record(self, kind: str, ref: str) -> Record | None:
        """The record of an object, or None when it is gone."""
        if ref == NULL:
            return None
        try:
            record: Record = await self._call(f"{kind}.get_record", ref)
        except XapiFailure as failure:
            if failure.code == "HANDLE_INVALID":
                return None
            raise
        return record

    async def fields(self, kind: str, ref: str, names: Collection[str]) -> Record | None:
        """Some fields of an object, or None when it is gone: an SR's record names each of its disks."""
        try:
            return {name: await self._call(f"{kind}.get_{name}", ref) for name in names}
        except XapiFailure as failure:
            if failure.code == "HANDLE_INVALID":
                return None
            raise

    async def where(self, kind: str, condition: str) -> dict[str, Record]:
        """Records by reference; field names in ``condition`` are the database's (``name__label``)."""
        records: dict[str, Record] = await self._call(f"{kind}.get_all_records_where", condition)
        return records

    async def named(self, kind: str, name: str) -> dict[str, Record]:
        """Records of objects of that name by reference."""
        refs = await self._call(f"{kind}.get_by_name_label", name)
        records = [(str(ref), await self.record(kind, ref)) for ref in sorted(refs)]
        return {ref: record for ref, record in records if record is not None}

    async def snapshot_disks(self) -> dict[str, Record]:
        """Every VDI that is a snapshot, tracking data included."""
        return await self.where("VDI", 'field "is_a_snapshot"="true"')

    async def snapshot_vms(self) -> dict[str, Record]:
        """Every VM that is a snapshot."""
        return await self.where("VM", 'field "is_a_snapshot"="true"')

    async def disks_of(self, vm: Record) -> list[tuple[Record, str, Record]]:
        """(VBD record, VDI reference, VDI record) of a VM's disks; no CDs, no empty drives."""
        disks = []
        for vbd_ref in vm["VBDs"]:
            vbd = await self.record("VBD", vbd_ref)
            if vbd is None or vbd["type"] != "Disk" or vbd["empty"]:
                continue
            vdi = await self.record("VDI", vbd["VDI"])
            if vdi is not None:
                disks.append((vbd, vbd["VDI"], vdi))
        return disks

    async def used_by_others(self, vdi: Record, vms: Collection[str] = ()) -> bool:
        """Whether a VM other than the control domains and ``vms`` (references) has the disk."""
        for vbd_ref in vdi["VBDs"]:
            vbd = await self.record("VBD", vbd_ref)
            if vbd is None or vbd["VM"] in vms:
                continue
            vm = await self.record("VM", vbd["VM"])
            if vm is not None and not vm["is_control_domain"]:
                return True
        return False

    async def destroy_vm(self, ref: str) -> None:
        """Removes a VM's record, not its disks."""
        await self._gone_is_fine("VM.destroy", ref)

    async def destroy_disk(self, ref: str) -> None:
        """Removes a disk, detaching it from control domains first (NBD connections leave a VBD there)."""
        await self._although_in_use("VDI.destroy", ref)

    async def reduce_disk(self, ref: str) -> None:
        """Removes a snapshot's data and keeps what tells the next incremental what changed."""
        await self._although_in_use("VDI.data_destroy", ref)

    async def _although_in_use(self, method: str, ref: str) -> None:
        for tries_left in reversed(range(_TRIES)):
            await self.detach_from_control_domains(ref)
            try:
                await self._gone_is_fine(method, ref)
                return
            except XapiFailure as failure:
                if failure.code not in ("VDI_IN_USE", "OTHER_OPERATION_IN_PROGRESS") or not tries_left:
                    raise
            await self._clock.sleep(_PAUSE_S)

    async def renew_allowed_operations(self, vm_ref: str) -> None:
        """Have the pool tell at once what a VM allows now. Only its administrators may (xapi: datamodel_vm.ml
        ``update_allowed_operations``); otherwise it is told with the VM's next change. It holds anyhow.
        """
        try:
            await self._session.call("VM.update_allowed_operations", vm_ref)
        except XapiFailure as failure:
            if failure.code != _NO_RIGHT:
                raise

    async def _gone_is_fine(self, method: str, ref: str) -> None:
        try:
            await xapi_tasks.run(self._session, method, ref, repeatable=True)
        except XapiFailure as failure:
            if failure.code != "HANDLE_INVALID":
                raise

    async def detach_from_control_domains(self, vdi_ref: str) -> None:
        """Raises XapiFailure when a host does not let go of it."""
        vdi = await self.record("VDI", vdi_ref)
        for vbd_ref in vdi["VBDs"] if vdi else ():
            vbd = await self.record("VBD", vbd_ref)
            vm = await self.record("VM", vbd["VM"]) if vbd else None
            if vbd is None or vm is None or not vm["is_control_domain"]:
                continue
            for method in ("VBD.unplug", "VBD.destroy") if vbd["currently_attached"] else ("VBD.destroy",):
                try:
                    await self._call(method, vbd_ref)
                except XapiFailure as failure:
                    # Gone, or being unplugged by the server itself: the removal that follows tells.
                    if failure.code not in (
                        "HANDLE_INVALID",
                        "DEVICE_ALREADY_DETACHED",
                        "OTHER_OPERATION_IN_PROGRESS",
                        "OPERATION_NOT_ALLOWED",
                    ):
                        raise
