"""Moving disks of a VM to other storage of the pool, its snapshots' disks with them.

Source: xapi, ocaml/xapi/xapi_vm_migrate.ml ``vdi_copy_fun``, ``update_snapshot_info`` and
``intra_pool_vdi_remap``; ocaml/xapi/storage_access.ml ``update_snapshot_info_dest``. Each disk is copied
under a new reference and uuid. The new storage is told its name, description and type; of other_config
``config-drive`` alone goes along (xapi_globs.ml ``vdi_other_config_sync_keys``): tags and all else that
somebody wrote on it are gone. The records of snapshots stay as they are, their VBDs show the copies.
Snapshots of a disk that belong to no snapshot of the VM, such as tracking data, stay where they are, and
are of a disk that is gone.

The originals are destroyed last of all, the newest snapshot first. One that is read at that moment, by NBD or
as an export, cannot be destroyed. Then the call fails although all has moved, and on its way out it destroys
the copies whose originals are left, with their VBDs, unless a VM runs with them. What a snapshot, or a VM
that is off, had on them is in the originals, which no VBD shows any more.
"""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager

from services.simulator.calls import vdi as vdi_calls
from services.simulator.calls.motion_rules import Motion, with_snapshots
from services.simulator.calls.vm_power import tell_of_migration
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import consoles, gpus, image_formats, placement, vdi_rules
from services.simulator.pool.disks import add_vdi
from services.simulator.pool.operations import operation
from services.simulator.pool.pool import disk_work

_MOST_AT_ONCE = 3
"""Of each host (xapi: xapi_vm_migrate.ml ``with_migrate``)."""
_TOLD = ("name_label", "name_description", "type", "read_only", "is_a_snapshot", "snapshot_time")
_SYNCED = ("config-drive",)


async def carry_out(call: Call, motion: Motion) -> None:
    """Raises ``TASK_CANCELLED`` between two disks, ``TOO_MANY_STORAGE_MIGRATES``, ``VDI_CBT_ENABLED``, what
    the storage answers, ``VDI_IN_USE`` (see above; also while a guest has a disk open from outside).
    """
    db = call.db
    own = {db.row("VBD", vbd)["VDI"] for vbd in motion.vm["VBDs"]}
    srs = {db.row("VDI", ref)["SR"] for ref in motion.disks} | set(motion.disks.values())
    async with AsyncExitStack() as held:
        held.enter_context(_one_of_few(call, motion.vm))
        for vdi in motion.disks:
            if vdi in own:
                await held.enter_async_context(mirroring(call, vdi))
        try:
            made = await _copied(call, motion)
            _link(call, made)
            _arrive(call, motion)
            _remap(call, motion, made)
            await _destroy_originals(call, made)
        finally:
            for sr in srs:
                await call.pool.disks[sr].follow()
                call.pool.disks[sr].coalesce_soon()


def mirroring(call: Call, ref: str) -> AbstractAsyncContextManager[None]:
    """Hold the copying of a disk that is in use. Raises ``VDI_CBT_ENABLED``, ``VDI_IN_USE``."""

    def check(vdi: Row) -> None:
        vdi_rules.check(call.db, vdi, "mirror")
        if vdi["uuid"] in call.pool.guest_disks:
            raise XapiFailure("VDI_IN_USE", ref, "mirror")

    return operation(call, "VDI", ref, "mirror", check)


@contextmanager
def _one_of_few(call: Call, vm: Row) -> Iterator[None]:
    """Raises ``TOO_MANY_STORAGE_MIGRATES``."""
    motions = call.pool.storage_motions
    host = vm["resident_on"] if vm["resident_on"] != NULL_REF else call.pool.coordinator.ref
    if motions[host] >= _MOST_AT_ONCE:
        raise XapiFailure("TOO_MANY_STORAGE_MIGRATES", str(_MOST_AT_ONCE))
    motions[host] += 1
    try:
        yield
    finally:
        motions[host] -= 1


async def _copied(call: Call, motion: Motion) -> dict[str, str]:
    """The copies' references by their originals', in the order of the motion; none is left when one fails."""
    made: dict[str, str] = {}
    try:
        for done, (ref, sr) in enumerate(motion.disks.items()):
            call.pool.tasks.check(call.task)
            made[ref] = await _copy(call, call.db.row("VDI", ref), sr, motion.formats.get(ref, ""))
            call.pool.tasks.progress(call.task, (done + 1) / (len(motion.disks) + 1))
        await call.pool.mishaps.may_arrive(call.pool.tasks.cancelled(call.task))
        call.pool.tasks.check(call.task)
    except XapiFailure:
        for copy in reversed(made.values()):
            await _destroy(call, copy)
        raise
    return made


async def _copy(call: Call, vdi: Row, sr: str, wanted: str) -> str:
    """A full copy, in the format that is ``wanted``, or what the SR would give a new disk (docs.xcp-ng.org:
    QCOW2 FAQ). Raises ``SR_BACKEND_FAILURE_44``, ``_66`` and ``_79``.
    """
    source, target = call.pool.repository(vdi["SR"]), call.pool.repository(sr)
    asked = {image_formats.KEY: wanted} if wanted else {}
    made = image_formats.choose(call.pool, sr, vdi["virtual_size"], asked)
    node = await disk_work(source.copy, vdi["uuid"], target, call.pool.ids.new(), image_format=made)
    kept = {name: vdi[name] for name in _TOLD} | {"snapshot_of": vdi["snapshot_of"]}
    kept["other_config"] = {key: vdi["other_config"][key] for key in _SYNCED if key in vdi["other_config"]}
    return add_vdi(call.pool, sr, node, **kept, sm_config=image_formats.told(call.pool, sr, made))


def _link(call: Call, made: dict[str, str]) -> None:
    """Copies of snapshots are of the copies of their disks."""
    for copy in made.values():
        of = call.db.row("VDI", copy)["snapshot_of"]
        call.db.set("VDI", copy, "snapshot_of", made.get(of, of))


def _arrive(call: Call, motion: Motion) -> None:
    vm = motion.vm
    source = vm["resident_on"]
    if source not in (NULL_REF, motion.host):
        call.db.update("VM", vm.ref, resident_on=motion.host, domid=next(call.pool.domids))
        gpus.move(call.db, motion.host, vm)
        consoles.follow(call.pool, vm.ref)
        tell_of_migration(call, vm.ref, source, motion.host)


def _remap(call: Call, motion: Motion, made: dict[str, str]) -> None:
    """The VM and its snapshots have the copies, and no suspend SR that the host does not see."""
    for vm in with_snapshots(call, motion.vm):
        for vbd in vm["VBDs"]:
            old = call.db.row("VBD", vbd)["VDI"]
            call.db.set("VBD", vbd, "VDI", made.get(old, old))
        image = vm["suspend_VDI"]
        call.db.set("VM", vm.ref, "suspend_VDI", made.get(image, image))
        sr = vm["suspend_SR"]
        if sr != NULL_REF and not placement.sees(call.pool, motion.host, sr):
            call.db.set("VM", vm.ref, "suspend_SR", NULL_REF)


async def _destroy_originals(call: Call, made: dict[str, str]) -> None:
    """Raises ``VDI_IN_USE``; see above for what is left then."""
    left = list(made)
    try:
        while left:
            await _destroy(call, left[-1])
            left.pop()
    except XapiFailure:
        for ref in reversed(left):
            if not _attached(call, made[ref]):
                await _destroy(call, made[ref])
        raise


async def _destroy(call: Call, ref: str) -> None:
    """A disk, its record, and the VBDs that show it. Raises ``VDI_IN_USE``."""
    vdi = call.db.row("VDI", ref)
    if _attached(call, ref):
        raise XapiFailure("VDI_IN_USE", ref, "destroy")
    await disk_work(call.pool.repository(vdi["SR"]).destroy, vdi["uuid"])
    vdi_calls.forget_record(call, ref)


def _attached(call: Call, ref: str) -> bool:
    vbds = call.db.row("VDI", ref)["VBDs"]
    return any(call.db.row("VBD", vbd)["currently_attached"] for vbd in vbds)
