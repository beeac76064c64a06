"""What moves when disks of a VM go to other storage of the pool, and what forbids it.

Source: xapi, ocaml/xapi/xapi_vm_migrate.ml ``assert_can_migrate`` and ``migrate_send'``. The disks of the
VM's snapshots go along. A tracked one among all these, and nothing goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import attachments, gpus, placement, vdi_rules

Map = Mapping[str, str]
REQUIRED = ("VDI_SNAPSHOT", "VDI_MIRROR")
"""What the storage managers at both ends must be able to do."""


@dataclass(frozen=True)
class Motion:
    """``disks`` are all that move, with their SRs, in the order in which they are copied; ``formats`` of
    images by disk where somebody has a wish. The VM is on ``host`` afterwards, if it runs."""

    vm: Row
    host: str
    disks: Map
    formats: Map


@dataclass(frozen=True)
class Wish:
    """What a client asks for: ``disks`` to SRs, ``networks`` by VIF, GPU groups by virtual GPU."""

    host: str
    disks: Map
    networks: Map = field(default_factory=dict)
    gpus: Map = field(default_factory=dict)
    formats: Map = field(default_factory=dict)
    copy: bool = False


def plan(call: Call, vm: Row, wish: Wish) -> Motion:
    """Raises ``OPERATION_NOT_ALLOWED`` for a copy and for a VIF that is to change its network,
    ``VDI_NOT_IN_MAP`` for any disk of the VM, ``VDI_CBT_ENABLED`` of a snapshot's disk too,
    ``SR_DOES_NOT_SUPPORT_MIGRATION``, ``VM_REQUIRES_SR``, ``VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION``,
    ``VM_REQUIRES_GPU``, and what keeps the VM from running on the host.
    """
    if wish.copy:
        why = "Copy mode is disallowed on intra pool storage migration; use VM.copy or VM.clone"
        raise XapiFailure("OPERATION_NOT_ALLOWED", why)
    own = _disks(call, vm)
    _check_own(call, own, wish)
    _check_host(call, vm, wish.host)
    if wish.networks:
        raise XapiFailure("OPERATION_NOT_ALLOWED", "VIF mapping is not allowed for intra-pool migration")
    if vm["power_state"] != "Halted":
        gpus.check_chosen(call.db, vm, wish.gpus)
    places = {vdi.ref: call.db.row("SR", wish.disks[vdi.ref]).ref for vdi in own}
    for sr in places.values():
        if not placement.sees(call.pool, wish.host, sr):
            raise XapiFailure("VM_REQUIRES_SR", vm.ref, sr)
    places |= _extras(call, vm, wish, places)
    rows = sorted((call.db.row("VDI", ref) for ref in places), key=_age)
    moving = {vdi.ref: places[vdi.ref] for vdi in rows if places[vdi.ref] != vdi["SR"]}
    for ref, sr in moving.items():
        _check_disk(call, vm, ref, sr, wish.host)
    return Motion(vm, wish.host, moving, wish.formats)


def host_for(call: Call, vm: Row, places: Map) -> str:
    """Where a VM is when its disks are in ``places``: on its host, else on any that sees all of them (xapi:
    ``vdi_pool_migrate``). Raises ``NO_HOSTS_AVAILABLE``.
    """
    db, pool = call.db, call.pool
    here = vm["resident_on"] if vm["resident_on"] != NULL_REF else pool.coordinator.ref
    others = [host.ref for host in pool.hosts.values() if host.alive and db.row("host", host.ref)["enabled"]]
    for host in [here, *others]:
        if all(placement.sees(pool, host, sr) for sr in places.values()):
            return host
    raise XapiFailure("NO_HOSTS_AVAILABLE")


def with_snapshots(call: Call, vm: Row) -> list[Row]:
    return [vm, *(call.db.row("VM", ref) for ref in vm["snapshots"])]


def _disks(call: Call, vm: Row) -> list[Row]:
    return [vdi for vbd, vdi in attachments.disks_in_use(call.pool, vm) if vbd["type"] != "CD"]


def _check_own(call: Call, own: list[Row], wish: Wish) -> None:
    for vdi in own:
        if vdi.ref not in wish.disks:
            raise XapiFailure("VDI_NOT_IN_MAP", vdi.ref)
    for vdi in own:
        if vdi["cbt_enabled"] and call.pool.model.minds_tracking_of_what_stays:
            raise XapiFailure("VDI_CBT_ENABLED", vdi.ref)
    for vdi in own:
        if vdi["on_boot"] == "reset":
            raise XapiFailure("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", vdi.ref)


def _check_host(call: Call, vm: Row, host: str) -> None:
    if vm["power_state"] in ("Running", "Paused") and host != vm["resident_on"]:
        placement.check_host(call.pool, host)
        placement.check_memory(call.pool, host, vm)
        gpus.check(call.db, host, vm)


def _extras(call: Call, vm: Row, wish: Wish, places: Map) -> dict[str, str]:
    """Snapshots' disks go where they are sent, else with the disk they are of, else to the pool's default SR;
    memory only if the host does not see it where it is. Raises ``VDI_NOT_IN_MAP``.
    """
    pool = call.db.only("pool")
    extras: dict[str, str] = {}
    for each in with_snapshots(call, vm):
        suspend = call.db.find("VDI", each["suspend_VDI"])
        if each["power_state"] == "Suspended" and suspend is not None:
            chosen = [pool["suspend_image_SR"], call.db.row("host", wish.host)["suspend_image_sr"]]
            chosen = (
                [] if placement.sees(call.pool, wish.host, suspend["SR"]) else [*chosen, pool["default_SR"]]
            )
            if chosen:
                extras[suspend.ref] = next((sr for sr in chosen if sr != NULL_REF), NULL_REF)
        for vdi in _disks(call, each) if each is not vm else ():
            beside = wish.disks.get(vdi.ref) or wish.disks.get(vdi["snapshot_of"]) or pool["default_SR"]
            extras[vdi.ref] = places.get(vdi.ref, beside)
    for ref, sr in extras.items():
        if call.db.find("SR", sr) is None:
            raise XapiFailure("VDI_NOT_IN_MAP", ref)
    return extras


def _check_disk(call: Call, vm: Row, ref: str, sr: str, host: str) -> None:
    vdi = call.db.row("VDI", ref)
    if not placement.sees(call.pool, host, sr):
        raise XapiFailure("VM_REQUIRES_SR", vm.ref, sr)
    for place in (vdi["SR"], sr):
        if not set(REQUIRED) <= set(vdi_rules.sm_features(call.db, place)):
            raise XapiFailure("SR_DOES_NOT_SUPPORT_MIGRATION", place, ", ".join(REQUIRED))
    if vdi["cbt_enabled"]:
        raise XapiFailure("VDI_CBT_ENABLED", ref)


def _age(vdi: Row) -> tuple[int, str]:
    """Small ones first, since larger ones may be built upon them; a live disk before its snapshots."""
    return vdi["virtual_size"], str(vdi["snapshot_time"])
