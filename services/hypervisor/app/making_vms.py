"""Making the VM of a restore target of its disks.

Killed at any step: the import is looked for before it is asked for, and nothing counts as made before the new
VM has been seen to have every restored disk.
"""

from dataclasses import replace

from services.chassis.errors import DataLoss
from services.hypervisor.app import memory_restores, own_snapshots
from services.hypervisor.app.steps import Passed
from services.hypervisor.domain.configuration import Configuration, unpack
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.target import Mode, Placement, Target
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import TargetStore

SHUTDOWN_PATIENCE_S = 120.0


class MakingVms:
    """``passed`` is told each step that is done."""

    def __init__(self, store: TargetStore, passed: Passed) -> None:
        self._store = store
        self._passed = passed

    async def make(self, connection: PoolConnection, target: Target) -> Target:
        """Imports the VM unless it is there, and makes sure it has every restored disk."""
        placement = target.placement
        original = target.original_vm_id if placement.mode is Mode.ORIGINAL else None
        stored = unpack(await self._store.configuration(target.target_id))
        configured = own_snapshots.chosen(connection, stored, placement)
        memory = memory_restores.image(configured, target.disks)
        vm_id = await connection.find_vm(target.target_id)
        if vm_id is None:
            if original and await connection.attached_disks(original) is not None:
                if not await connection.shut_down(original, SHUTDOWN_PATIENCE_S):
                    told = "The original VM did not shut down by itself in time and was switched off."
                    target = await self._saved(
                        replace(target, notices=(*target.notices, Notice("VM_SWITCHED_OFF", told)))
                    )
                self._passed("commit:original_off")
            disks = {disk.disk_id: disk.new_disk_id for disk in target.disks}
            name = "" if original else placement.vm_display_name
            keys = original is not None or placement.key_material
            image = memory.disk_id if memory else ""
            await connection.import_vm(
                target.target_id,
                configured.archive,
                disks,
                name,
                original,
                keys=keys,
                memory=image,
                without_gpus=target.gpus_left_out,
            )
            self._passed("commit:imported")
            vm_id = await connection.find_vm(target.target_id)
        if vm_id is not None and not original and placement.keep_mac_addresses:
            await connection.set_macs(vm_id, configured.interfaces)
            self._passed("commit:macs")
        attached = await connection.attached_disks(vm_id) if vm_id else None
        has = {disk.disk_id for disk in attached or ()}
        if vm_id is not None and memory is not None:
            has.add(await connection.suspend_image(vm_id))
        missing = [disk.disk_id for disk in target.disks if disk.new_disk_id not in has]
        if vm_id is None or missing or has & set(target.disks_to_remove):
            raise DataLoss(
                f"The pool made a VM of restore {target.target_id} that has not exactly the restored disks "
                f"(missing: {', '.join(missing) or 'none'}). Nothing of the original's disks was removed.",
                reason="RESTORED_VM_INCOMPLETE",
                hint="Look at the VM in the pool; restore the point as a new VM, or without its memory.",
            )
        left = await connection.complete_vm(
            vm_id,
            configured.archive,
            configured.appliance_id if original else "",
            target.gpus_left_out,
        )
        notices = (
            *target.notices,
            *_settings_left(left),
            *_keys_left(connection, configured, placement),
        )
        target = await self._saved(replace(target, vm_id=vm_id, notices=notices))
        self._passed("commit:verified")
        return target

    async def _saved(self, target: Target) -> Target:
        await self._store.save(target)
        return target


def _settings_left(clauses: tuple[str, ...]) -> list[Notice]:
    if not clauses:
        return []
    return [Notice("SETTINGS_NOT_RESTORED", f"The VM is not quite as it was: {'; '.join(clauses)}.")]


def _keys_left(connection: PoolConnection, configured: Configuration, placement: Placement) -> list[Notice]:
    """A new VM is another identity: the virtual TPM goes along only when it is asked for."""
    left_out = placement.mode is Mode.NEW_VM and not placement.key_material
    if not left_out or not connection.has_virtual_tpm(configured.archive):
        return []
    told = (
        "The virtual TPM of the original was left out of the new VM: it is key material. Restore with it if "
        "the guest asks for a recovery key (--key-material)."
    )
    return [Notice("KEY_MATERIAL_LEFT_OUT", told)]
