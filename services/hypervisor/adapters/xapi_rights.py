"""What the account lacks (xapi: ocaml/idl/datamodel_roles.ml; permissions are lower-case call names).

What the role vm-power-admin does not include is not asked for. Without it the work goes on and says what was
left out, as a VM's place in its appliance or its GPU (pool-operator); or it is refused when it is wanted,
as the pool's database (pool-admin).
"""

from collections.abc import Awaitable, Callable

NEEDED: dict[str, str] = {
    "vm.snapshot": "take snapshots of VMs",
    "vm.checkpoint": "capture the memory of VMs",
    "vm.resume": "resume VMs that were captured or restored with their memory",
    "vm.resume_on": "resume VMs where they were",
    "vm.create": "capture templates",
    "vm.destroy": "remove snapshots",
    "vm.set_other_config": "mark VMs and snapshots as ours",
    "vm.add_to_other_config": "note on a VM what a restore has to put back, or replaces",
    "vm.remove_from_other_config": "take our marks off VMs",
    "vm.set_name_description": "say in the pool what a snapshot of ours is for",
    "vm.add_to_blocked_operations": "block migrations of VMs while they are backed up, and protect VMs again",
    "vm.remove_from_blocked_operations": "allow migrations again, and restores over protected VMs",
    "vdi.enable_cbt": "switch changed block tracking on",
    "vdi.list_changed_blocks": "ask which blocks changed",
    "vdi.data_destroy": "reduce snapshots to their tracking data",
    "vdi.destroy": "remove disks of snapshots",
    "vdi.get_nbd_info": "read disks by NBD",
    "vdi.create": "make disks for a restore",
    "vdi.set_other_config": "mark disks as ours",
    "vdi.remove_from_other_config": "take our marks off disks",
    "vdi.set_name_description": "say in the pool what a disk of ours is for",
    "vbd.create": "attach the disks of templates while they are captured",
    "vbd.unplug": "detach disks that are read",
    "vbd.destroy": "remove what a disk was attached by while it was read",
    "vif.create": "give restored VMs their MAC addresses",
    "vif.destroy": "replace MAC addresses that the pool has chosen",
    "vm.set_blocked_operations": "give restored VMs the protection they had",
    "vm.clean_shutdown": "shut a VM down to restore over it or to back it up offline",
    "vm.hard_shutdown": "switch a VM off that does not shut down",
    "vm.start": "start VMs that were restored or shut down for their backup",
    "vm.start_on": "start VMs where they were",
    "http/get_export_metadata": "read the configuration of VMs",
    "http/put_import_metadata": "restore VMs",
    "http/put_import_raw_vdi": "write restored disks",
}


async def missing_rights(call: Callable[..., Awaitable[object]], session: str) -> tuple[str, ...]:
    """One sentence per right that is missing; the pool's local superuser may do everything."""
    if await call("session.get_is_local_superuser", session):
        return ()
    told = await call("session.get_rbac_permissions", session)
    have = {str(each).lower() for each in told} if isinstance(told, list) else set()
    return tuple(
        f"The account may not {what} ({permission}); the role vm-power-admin includes it."
        for permission, what in NEEDED.items()
        if permission not in have
    )
