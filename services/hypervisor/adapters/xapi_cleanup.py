"""Removing what is ours, and only that; every step may be repeated, and is after a crash."""

import structlog

from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.ports.pool import Leftovers

_log = structlog.get_logger()


class XapiCleanup:
    """Removals on one session."""

    def __init__(self, objects: XapiObjects, installation: str) -> None:
        self._installation = installation
        self._objects = objects

    async def remove_snapshot(self, source_id: str, keep_tracking: bool) -> None:
        """See ports.Snapshots. Disks of a snapshot that was never tagged are found through it: first the
        disks are gathered, then the snapshot goes, because its VBDs keep their data alive."""
        with translating(f"removing the snapshot of backup {source_id}"):
            vms = await self._objects.snapshot_vms()
            mine = {ref: vm for ref, vm in vms.items() if xapi_tags.source_of(vm) == source_id}
            everything = await self._objects.snapshot_disks()
            disks = {ref: vdi for ref, vdi in everything.items() if xapi_tags.source_of(vdi) == source_id}
            for vm in mine.values():
                disks |= {
                    ref: vdi for _, ref, vdi in await self._objects.disks_of(vm) if vdi["is_a_snapshot"]
                }
            for ref in mine:
                await self._objects.destroy_vm(ref)
            for ref, vdi in disks.items():
                await self._remove_disk(ref, vdi, keep_tracking, mine)
            if keep_tracking:
                kept = {vdi["snapshot_of"] for vdi in disks.values() if vdi["cbt_enabled"]}
                await self._remove_older(everything, kept, source_id)

    async def leftovers(self) -> Leftovers:
        """See ports.Leavings."""
        with translating("looking for leftovers"):
            snapshots = [*(await self._objects.snapshot_vms()).values()]
            snapshots += [
                vdi
                for vdi in (await self._objects.snapshot_disks()).values()
                if vdi["type"] != "cbt_metadata"
            ]
            made = [*(await self._objects.where("VM", 'field "is_a_snapshot"="false"')).values()]
            made += (await self._objects.where("VDI", 'field "is_a_snapshot"="false"')).values()
        return Leftovers(
            source_ids=frozenset(map(xapi_tags.source_of, snapshots)) - {""},
            target_ids=frozenset(map(xapi_tags.target_of, made)) - {""},
            own_ids=frozenset(
                xapi_tags.id_if_own(record, self._installation) for record in (*snapshots, *made)
            )
            - {""},
        )

    async def remove_orphans(self) -> int:
        """See ports.Leavings."""
        removed = 0
        with translating("removing tracking data of disks that are gone"):
            for ref, vdi in (await self._objects.snapshot_disks()).items():
                if not (xapi_tags.source_of(vdi) and vdi["type"] == "cbt_metadata"):
                    continue
                if await self._objects.record("VDI", vdi["snapshot_of"]) is None:
                    await self._objects.destroy_disk(ref)
                    removed += 1
        return removed

    async def remove_target(self, target_id: str) -> None:
        """See ports.Restores."""
        with translating(f"removing what was made for restore {target_id}"):
            vms = await self._objects.where("VM", 'field "is_a_snapshot"="false"')
            mine = [ref for ref, vm in vms.items() if xapi_tags.target_of(vm) == target_id]
            disks = await self._objects.where("VDI", 'field "is_a_snapshot"="false"')
            for ref in mine:
                await self._objects.destroy_vm(ref)
            for ref, vdi in disks.items():
                if xapi_tags.target_of(vdi) != target_id:
                    continue
                if await self._objects.used_by_others(vdi, mine):
                    _log.warning("disk kept, a VM uses it", disk=vdi["uuid"], restore=target_id)
                    continue
                await self._objects.destroy_disk(ref)

    async def remove_replaced(self, disk_ids: tuple[str, ...]) -> tuple[str, ...]:
        """See ports.Restores."""
        kept = []
        with translating("removing the disks that were replaced"):
            snapshots = await self._objects.snapshot_disks()
            for disk_id in disk_ids:
                ref = await self._objects.ref("VDI", disk_id)
                vdi = await self._objects.record("VDI", ref) if ref else None
                if ref is None or vdi is None:
                    continue
                if await self._objects.used_by_others(vdi):
                    kept.append(disk_id)
                    continue
                await self._objects.destroy_disk(ref)
                for other, snapshot in snapshots.items():
                    if snapshot["snapshot_of"] == ref and _is_tracking_data(snapshot):
                        await self._objects.destroy_disk(other)
        return tuple(kept)

    async def _remove_disk(
        self, ref: str, vdi: Record, keep_tracking: bool, snapshots: dict[str, Record]
    ) -> None:
        now = await self._objects.record("VDI", ref)
        if now is None:
            return
        if await self._objects.used_by_others(now, tuple(snapshots)):
            _log.warning("snapshot disk kept, a VM uses it", disk=vdi["uuid"])
        elif keep_tracking and now["cbt_enabled"]:
            await self._objects.reduce_disk(ref)
        else:
            await self._objects.destroy_disk(ref)

    async def _remove_older(self, snapshots: dict[str, Record], disks: set[str], source_id: str) -> None:
        for ref, vdi in snapshots.items():
            if (
                vdi["snapshot_of"] in disks
                and _is_tracking_data(vdi)
                and xapi_tags.source_of(vdi) != source_id
            ):
                await self._objects.destroy_disk(ref)


def _is_tracking_data(vdi: Record) -> bool:
    return vdi["type"] == "cbt_metadata" and bool(xapi_tags.source_of(vdi))
