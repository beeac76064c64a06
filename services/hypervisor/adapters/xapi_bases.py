"""What stays in a pool so that the next backup of a disk can be an incremental: tracking data, or a whole
snapshot where changed blocks are not tracked. Each carries the lineage it is for.
"""

from collections.abc import Collection
from datetime import datetime
from itertools import groupby

import structlog

from services.hypervisor.adapters import xapi_image_formats, xapi_tags
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.adapters.xapi_times import moment
from services.hypervisor.domain.differences import Layers
from services.hypervisor.domain.image_format import VHD

MOST_TRACKING = 8
MOST_WITH_DATA = 2
"""Of one disk: a whole snapshot costs space."""
_LONGEST_CHAIN = 128
_DESCRIPTION = "Kept for the next backup of this disk. Xenkeep removes it."

_log = structlog.get_logger()


def is_base(vdi: Record) -> bool:
    """Whether a VDI was kept by us for an incremental."""
    return bool(xapi_tags.source_of(vdi)) and (
        _is_tracking_data(vdi) or xapi_tags.LINEAGE in vdi["other_config"]
    )


class XapiBases:
    """Bases on one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects) -> None:
        self._session = session
        self._objects = objects

    async def layers(self, snapshot_disk_id: str) -> Layers | None:
        """See ports.Readers. ``vhd-parent`` names the hidden parent of a VHD (sm: LVHDSR, FileSR)."""
        with translating(f"reading disk {snapshot_disk_id}"):
            vdi = await self._by_uuid(snapshot_disk_id)
            if vdi is None:
                return None
            has_data = not _is_tracking_data(vdi)
            return Layers(await self._parents(vdi), has_data, int(vdi["physical_utilisation"]))

    async def reduce(self, ref: str, vdi: Record, lineage: str) -> None:
        """Leaves of a tracked snapshot what tells its changes. Killed between, the next closing goes on."""
        await self._objects.reduce_disk(ref)
        await self.keep(ref, vdi, lineage)

    async def keep(self, ref: str, vdi: Record, lineage: str) -> None:
        """Marks a snapshot's disk as the base of a lineage, for whoever finds it too."""
        config = {**vdi["other_config"], xapi_tags.LINEAGE: lineage}
        if config != vdi["other_config"]:
            await self._session.call("VDI.set_name_description", ref, _DESCRIPTION)
            await self._session.call("VDI.set_other_config", ref, config)

    async def supersede(self, disks: Collection[str], lineage: str, source_id: str) -> None:
        """Removes older bases of the disks (references): all of the lineage, the oldest of others."""
        others = []
        for ref, vdi in await self._bases_of(disks):
            if _lineage(vdi) == lineage and xapi_tags.source_of(vdi) != source_id:
                await self._objects.destroy_disk(ref)
            else:
                others.append((ref, vdi))
        for ref, vdi in _too_many(others):
            _log.warning("a disk has bases of too many lineages: the oldest goes", base=vdi["uuid"])
            await self._objects.destroy_disk(ref)

    async def _bases_of(self, disks: Collection[str]) -> list[tuple[str, Record]]:
        """Asked of each disk: a pool has as many as all its disks together."""
        bases = []
        for disk in disks:
            live = await self._objects.record("VDI", disk)
            for ref in live["snapshots"] if live else ():
                vdi = await self._objects.record("VDI", ref)
                if vdi is not None and is_base(vdi):
                    bases.append((str(ref), vdi))
        return bases

    async def remove_orphans(self) -> int:
        """See ports.Leavings."""
        removed = 0
        with translating("removing what was kept of disks that are gone"):
            for ref, vdi in (await self._objects.snapshot_disks()).items():
                if is_base(vdi) and await self._objects.record("VDI", vdi["snapshot_of"]) is None:
                    await self._objects.destroy_disk(ref)
                    removed += 1
        return removed

    async def remove_stale(self, tracking_before: datetime, data_before: datetime) -> tuple[str, ...]:
        """See ports.Leavings."""
        disks = []
        with translating("removing what was kept for backups that no longer come"):
            for ref, vdi in (await self._objects.snapshot_disks()).items():
                before = tracking_before if _is_tracking_data(vdi) else data_before
                if is_base(vdi) and moment(vdi["snapshot_time"]) < before:
                    origin = await self._objects.record("VDI", vdi["snapshot_of"])
                    await self._objects.destroy_disk(ref)
                    disks.append(origin["uuid"] if origin else vdi["uuid"])
        return tuple(disks)

    async def _by_uuid(self, uuid: str) -> Record | None:
        ref = await self._objects.ref("VDI", uuid)
        return await self._objects.record("VDI", ref) if ref else None

    async def _parents(self, vdi: Record) -> tuple[str, ...]:
        """Of VHDs only: to compare QCOW2 images the pool reads all that both have before it says a word
        (xapi: python3/libexec/qcow2-to-stdout.py; releases that read the tables of both skip only what one of
        them alone has).
        """
        parents: list[str] = []
        below: Record | None = vdi
        if (await xapi_image_formats.of_chain(self._objects, vdi) or VHD) != VHD:
            return ()
        while below is not None and len(parents) < _LONGEST_CHAIN:
            parent = str(below["sm_config"].get("vhd-parent", ""))
            if not parent:
                return tuple(parents)
            parents.append(parent)
            below = await self._by_uuid(parent)
        return ()


def _lineage(vdi: Record) -> str:
    return str(vdi["other_config"].get(xapi_tags.LINEAGE, ""))


def _is_tracking_data(vdi: Record) -> bool:
    return bool(vdi["type"] == "cbt_metadata")


def _too_many(bases: list[tuple[str, Record]]) -> list[tuple[str, Record]]:
    """The oldest of each disk and kind beyond what it may have."""

    def kind(base: tuple[str, Record]) -> tuple[str, bool]:
        return base[1]["snapshot_of"], _is_tracking_data(base[1])

    spare = []
    for (_, tracking), group in groupby(sorted(bases, key=kind), key=kind):
        newest_first = sorted(group, key=lambda base: moment(base[1]["snapshot_time"]), reverse=True)
        spare += newest_first[MOST_TRACKING if tracking else MOST_WITH_DATA :]
    return spare
