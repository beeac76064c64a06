"""VM.migrate_send: a VM with its disks to another host (xapi: ocaml/xapi/xapi_vm_migrate.ml)."""

from services.simulator.calls import motion_rules, storage_motion, vm_emigration
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, remote_pool
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
        motion_rules.plan(call, vm, _within(dest, vdi_map, vif_map, options, vgpu_map))
    else:
        await vm_emigration.check(
            call, vm, vm_emigration.Wish(dest, vdi_map, vif_map, options, gpus=vgpu_map)
        )


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
    """The same VM on another host, its disks where ``vdi_map`` says: all of them have to be in it, those that
    stay too. The disks of its snapshots go along. To another pool: see ``vm_emigration``.

    Raises what ``motion_rules.plan`` and ``storage_motion.carry_out`` do.
    """
    formats = vdi_formats or {}
    if dest.get("host") not in call.pool.hosts:
        wish = vm_emigration.Wish(dest, vdi_map, vif_map, options, formats, vgpu_map)
        return await vm_emigration.send(call, vm_ref, wish)
    async with vm_operation(call, vm_ref, "migrate_send"), call.pool.guests_may_write:
        vm = call.db.row("VM", vm_ref)
        wish_here = _within(dest, vdi_map, vif_map, options, vgpu_map, formats)
        await storage_motion.carry_out(call, motion_rules.plan(call, vm, wish_here))
        if vm["resident_on"] == NULL_REF:
            call.db.set("VM", vm_ref, "affinity", dest["host"])
    allowed_operations.refresh_vm(call.db, vm_ref)
    return vm_ref


def _within(
    dest: Map, disks: Map, networks: Map, options: Map, gpus: Map, formats: Map | None = None
) -> motion_rules.Wish:
    copy = options.get("copy") == "true"
    return motion_rules.Wish(dest["host"], disks, networks, gpus, formats or {}, copy)
