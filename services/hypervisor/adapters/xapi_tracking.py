"""Changed block tracking of disks: switched on, asked for what changed."""

import base64
import binascii

import structlog

from services.hypervisor.adapters import xapi_tasks
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import NULL, Record, XapiObjects
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.adapters.xapi_shapes import XapiShapes
from services.hypervisor.domain.tracking import TrackedDisk, Tracking, TrackingOutcome

_log = structlog.get_logger()


class XapiTracking:
    """On one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects, shapes: XapiShapes) -> None:
        self._session = session
        self._objects = objects
        self._shapes = shapes

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
            if sr is None or "VDI_CONFIG_CBT" not in (await self._shapes.features()).get(sr["type"], {}):
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

    async def tracked_disk(self, snapshot_disk_id: str) -> TrackedDisk | None:
        """See ports.Snapshots."""
        with translating(f"reading disk {snapshot_disk_id}"):
            ref = await self._objects.ref("VDI", snapshot_disk_id)
            vdi = await self._objects.record("VDI", ref) if ref else None
            return await self.facts(vdi) if vdi else None

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

    async def facts(self, vdi: Record) -> TrackedDisk:
        """Of a disk that was read."""
        origin = await self._objects.record("VDI", vdi["snapshot_of"]) if vdi["snapshot_of"] != NULL else None
        sr = await self._objects.fields("SR", vdi["SR"], ["uuid"])
        return TrackedDisk(
            disk_id=origin["uuid"] if origin else "",
            sr_id=sr["uuid"] if sr else "",
            size_bytes=int(vdi["virtual_size"]),
            tracked=bool(vdi["cbt_enabled"]),
        )
