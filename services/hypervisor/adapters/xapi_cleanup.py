"""Removing what is ours, and only that; every step may be repeated, and is after a crash."""

from collections.abc import Collection

import structlog

from services.hypervisor.adapters import xapi_checkpoints, xapi_tags
from services.hypervisor.adapters.xapi_bases import XapiBases, is_base
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_protection import XapiProtection
from services.hypervisor.adapters.xapi_template_holders import holders
from services.hypervisor.ports.leavings import Leftovers

_log = structlog.get_logger()


class XapiCleanup:
    """Removals on one session."""

    def __init__(
        self, objects: XapiObjects, bases: XapiBases, protection: XapiProtection, installation: str
    ) -> None:
        self._installation = installation
        self._objects = objects
        self._bases = bases
        self._protection = protection

    async def remove_snapshot(
        self,
        source_id: str,
        keep_tracking: bool,
        lineage: str,
        with_data: Collection[str],
        disk_ids: Collection[str],
    ) -> None:
        """See ports.Snapshots. A snapshot that bears the name it was given leads to all of it, so that
        closing costs the same in a pool of any size; without one everything is searched for our marks. A pool
        that could not finish moving its disks leaves it without them."""
        with translating(f"removing the snapshot of backup {source_id}"):
            for ref in await holders(self._objects, source_id):
                # The pool waits for a snapshot of it that is being taken: it is found below.
                await self._objects.destroy_vm(ref)
            named = await self._objects.named("VM", xapi_tags.snapshot_name(source_id))
            mine = {ref: vm for ref, vm in named.items() if xapi_tags.source_of(vm) == source_id}
            disks: dict[str, Record] = {}
            if not mine:
                mine, disks = await self._searched(source_id)
            disks |= await self._disks_through(mine)
            others = set(disk_ids) - {vdi["uuid"] for vdi in disks.values()}
            disks |= await self._left_alone(source_id, others)
            for ref in mine:  # first, because its VBDs keep the disks' data alive
                await self._objects.destroy_vm(ref)
            for ref, vdi in disks.items():
                keep = lineage if keep_tracking else None
                await self._remove_disk(ref, keep, vdi["uuid"] in with_data, mine)
            if keep_tracking:
                lives = {vdi["snapshot_of"] for vdi in disks.values()}
                await self._bases.supersede(lives, lineage, source_id)

    async def _searched(self, source_id: str) -> tuple[dict[str, Record], dict[str, Record]]:
        """Snapshots and disks that bear our marks, whatever they are called now. Holders that somebody
        renamed are removed."""
        others = await self._objects.where("VM", 'field "is_a_snapshot"="false"')
        for ref in [ref for ref, vm in others.items() if xapi_tags.holder_of(vm) == source_id]:
            await self._objects.destroy_vm(ref)
        vms = await self._objects.snapshot_vms()
        disks = await self._objects.snapshot_disks()
        return (
            {ref: vm for ref, vm in vms.items() if xapi_tags.source_of(vm) == source_id},
            {ref: vdi for ref, vdi in disks.items() if xapi_tags.source_of(vdi) == source_id},
        )

    async def _disks_through(self, snapshots: dict[str, Record]) -> dict[str, Record]:
        """Those of the snapshots, also when they were never tagged."""
        disks: dict[str, Record] = {}
        for vm in snapshots.values():
            disks |= {ref: vdi for _, ref, vdi in await self._objects.disks_of(vm) if vdi["is_a_snapshot"]}
            image = await xapi_checkpoints.image(self._objects, vm)
            if image is not None and image[1]["is_a_snapshot"]:
                disks[image[0]] = image[1]
        return disks

    async def _left_alone(self, source_id: str, disk_ids: Collection[str]) -> dict[str, Record]:
        """Those of the disks that are there and bear our mark."""
        disks: dict[str, Record] = {}
        for disk_id in disk_ids:
            ref = await self._objects.ref("VDI", disk_id)
            vdi = await self._objects.record("VDI", ref) if ref else None
            if ref is not None and vdi is not None and xapi_tags.source_of(vdi) == source_id:
                disks[ref] = vdi
        return disks

    async def leftovers(self) -> Leftovers:
        """See ports.Leavings."""
        with translating("looking for leftovers"):
            snapshots = [*(await self._objects.snapshot_vms()).values()]
            snapshots += [vdi for vdi in (await self._objects.snapshot_disks()).values() if not is_base(vdi)]
            vms = [*(await self._objects.where("VM", 'field "is_a_snapshot"="false"')).values()]
            made = [*vms]
            made += (await self._objects.where("VDI", 'field "is_a_snapshot"="false"')).values()
        return Leftovers(
            source_ids=frozenset([*map(xapi_tags.source_of, snapshots), *map(xapi_tags.holder_of, vms)])
            - {""},
            target_ids=frozenset(map(xapi_tags.target_of, made)) - {""},
            own_ids=frozenset(
                xapi_tags.id_if_own(record, self._installation) for record in (*snapshots, *made)
            )
            - {""},
        )

    async def remove_target(self, target_id: str) -> None:
        """See ports.Restores."""
        with translating(f"removing what was made for restore {target_id}"):
            vms = await self._objects.where("VM", 'field "is_a_snapshot"="false"')
            await self._protection.put_back(vms, target_id)
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
                    if snapshot["snapshot_of"] == ref and is_base(snapshot):
                        await self._objects.destroy_disk(other)
        return tuple(kept)

    async def _remove_disk(
        self, ref: str, lineage: str | None, with_data: bool, snapshots: dict[str, Record]
    ) -> None:
        """``lineage`` None: nothing is kept."""
        vdi = await self._objects.record("VDI", ref)
        if vdi is None:
            return
        if await self._objects.used_by_others(vdi, tuple(snapshots)):
            _log.warning("snapshot disk kept, a VM uses it", disk=vdi["uuid"])
        elif lineage is not None and not await self._is_in_use(vdi["snapshot_of"]):
            await self._objects.destroy_disk(ref)  # the VM's disk was moved or replaced meanwhile
        elif lineage is not None and vdi["cbt_enabled"]:
            await self._bases.reduce(ref, vdi, lineage)
        elif lineage is not None and with_data:
            await self._bases.keep(ref, vdi, lineage)
        else:
            await self._objects.destroy_disk(ref)

    async def _is_in_use(self, disk: str) -> bool:
        """Whether a VM has a disk (a reference)."""
        vdi = await self._objects.record("VDI", disk)
        return vdi is not None and await self._objects.used_by_others(vdi)
