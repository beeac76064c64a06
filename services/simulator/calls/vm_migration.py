"""VM.migrate_send: a VM with its disks to another host (xapi: ocaml/xapi/xapi_vm_migrate.ml)."""

from contextlib import AsyncExitStack

from services.simulator.calls import vm_emigration
from services.simulator.calls.vdi_migration import mirroring, move
from services.simulator.calls.vm_power import tell_of_migration
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, domains, gpus, image_formats, placement, remote_pool
from services.simulator.pool.operations import vm_operation

Map = dict[str, str]


async def migrate_receive(call: Call, host: str, network: str, options: Map) -> Map:
    """What ``migrate_send`` needs to know of a host. It holds a session of its own: handle it as a secret.

    Raises ``HOST_CANNOT_ATTACH_NETWORK``.
    """
    there = call.pool.hosts[call.db.row("host", host).ref]
    pifs = [call.db.row("PIF", pif) for pif in call.db.row("network", network)["PIFs"]]
    address = next((pif["IP"] for pif in pifs if pif["host"] == host), None)
    if address is None:
        raise XapiFailure("HOST_CANNOT_ATTACH_NETWORK", host, network)
    session = call.pool.sessions.another(call.session, host)
    port = there.https_port
    return {
        "SM": remote_pool.url(address, port, f"/services/SM?session_id={session}"),
        "host": there.ref,
        "xenops": remote_pool.url(address, port, f"/services/xenops?session_id={session}"),
        "session_id": session,
        "master": remote_pool.url(call.pool.coordinator.address, call.pool.coordinator.https_port),
    }


async def assert_can_migrate(
    call: Call, vm_ref: str, dest: Map, live: bool, vdi_map: Map, vif_map: Map, options: Map, vgpu_map: Map
) -> None:
    """Raises what ``migrate_send`` would."""
    vm = call.db.row("VM", vm_ref)
    if dest.get("host") in call.pool.hosts:
        _plan(call, vm, dest, vdi_map, vif_map, options)
    else:
        await vm_emigration.check(call, vm, vm_emigration.Wish(dest, vdi_map, vif_map, options))


async def migrate_send(
    call: Call,
    vm_ref: str,
    dest: Map,
    live: bool,
    vdi_map: Map,
    vif_map: Map,
    options: Map,
    vgpu_map: Map,
    vdi_formats: Map | None = None,
) -> str:
    """The same VM on another host, its disks where ``vdi_map`` says, under new references and uuids; their
    snapshots go along. To another pool: see ``vm_emigration``. Raises ``VDI_CBT_ENABLED``,
    ``VDI_NOT_IN_MAP``, ``VM_REQUIRES_SR``, ``HOST_NOT_ENOUGH_FREE_MEMORY``, ``OPERATION_NOT_ALLOWED`` for a
    copy, ``TASK_CANCELLED`` between two disks.
    """
    formats = vdi_formats or {}
    if dest.get("host") not in call.pool.hosts:
        wish = vm_emigration.Wish(dest, vdi_map, vif_map, options, formats)
        return await vm_emigration.send(call, vm_ref, wish)
    db = call.db
    async with vm_operation(call, vm_ref, "migrate_send"), call.pool.guests_may_write:
        vm = db.row("VM", vm_ref)
        moves = _plan(call, vm, dest, vdi_map, vif_map, options)
        async with AsyncExitStack() as held:
            for vdi in moves:
                await held.enter_async_context(mirroring(call, vdi))
            for done, (vdi, sr) in enumerate(moves.items()):
                call.pool.tasks.check(call.task)
                snapshots = [db.row("VDI", ref) for ref in db.row("VDI", vdi)["snapshots"]]
                wanted = {image_formats.KEY: formats[vdi]} if vdi in formats else {}
                await move(call, vdi, sr, wanted)
                for snapshot in snapshots:
                    if snapshot["type"] != "cbt_metadata":  # has no data to go along
                        await move(call, snapshot.ref, sr)
                call.pool.tasks.progress(call.task, (done + 1) / (len(moves) + 1))
        for vif, network in vif_map.items():
            db.set("VIF", vif, "network", network)
        source = vm["resident_on"]
        if source not in (NULL_REF, dest["host"]):
            db.set("VM", vm_ref, "resident_on", dest["host"])
            gpus.move(db, dest["host"], vm)
            tell_of_migration(call, vm_ref, source, dest["host"])
        elif source == NULL_REF:
            db.set("VM", vm_ref, "affinity", dest["host"])
    allowed_operations.refresh_vm(db, vm_ref)
    return vm_ref


def _plan(call: Call, vm: Row, dest: Map, vdi_map: Map, vif_map: Map, options: Map) -> Map:
    """Disks that have to move, and where to."""
    host = dest["host"]
    if options.get("copy") == "true":
        why = "Copy mode is disallowed on intra pool storage migration; use VM.copy or VM.clone"
        raise XapiFailure("OPERATION_NOT_ALLOWED", why)
    for network in vif_map.values():
        call.db.row("network", network)
    if vm["power_state"] in ("Running", "Paused") and host != vm["resident_on"]:
        placement.check_host(call.pool, host)
        placement.check_memory(call.pool, host, vm)
        gpus.check(call.db, host, vm)
    moves: Map = {}
    for vbd, vdi in domains.disks_in_use(call.pool, vm):
        target = call.db.row("SR", vdi_map[vdi.ref]).ref if vdi.ref in vdi_map else vdi["SR"]
        if vbd["type"] == "CD":
            continue
        if not domains.sees(call.pool, host, target):
            if vdi.ref not in vdi_map:
                raise XapiFailure("VDI_NOT_IN_MAP", vdi.ref)
            raise XapiFailure("VM_REQUIRES_SR", vm.ref, target)
        if target != vdi["SR"]:
            if vdi["cbt_enabled"]:
                raise XapiFailure("VDI_CBT_ENABLED", vdi.ref)
            moves[vdi.ref] = target
    return moves
