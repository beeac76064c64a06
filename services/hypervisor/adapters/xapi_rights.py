"""What the account lacks (xapi: ocaml/idl/datamodel_roles.ml; permissions are lower-case call names)."""

from collections.abc import Awaitable, Callable

_NEEDED: dict[str, str] = {
    "vm.snapshot": "take snapshots of VMs",
    "vm.checkpoint": "capture the memory of VMs",
    "vm.resume": "resume VMs that were captured or restored with their memory",
    "vm.destroy": "remove snapshots",
    "vm.set_other_config": "mark VMs and snapshots as ours",
    "vm.add_to_blocked_operations": "block migrations of VMs while they are backed up",
    "vm.remove_from_blocked_operations": "allow migrations again",
    "vdi.enable_cbt": "switch changed block tracking on",
    "vdi.list_changed_blocks": "ask which blocks changed",
    "vdi.data_destroy": "reduce snapshots to their tracking data",
    "vdi.destroy": "remove disks of snapshots",
    "vdi.get_nbd_info": "read disks by NBD",
    "vdi.create": "make disks for a restore",
    "vdi.set_other_config": "mark disks as ours",
    "vbd.unplug": "detach disks that are read",
    "vif.create": "give restored VMs their MAC addresses",
    "vm.clean_shutdown": "shut a VM down to restore over it or to back it up offline",
    "vm.hard_shutdown": "switch a VM off that does not shut down",
    "vm.start": "start VMs that were restored or shut down for their backup",
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
        for permission, what in _NEEDED.items()
        if permission not in have
    )
