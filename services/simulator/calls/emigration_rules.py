"""Whether a VM may go to another pool, and with what (xapi: xapi_vm_migrate.ml ``assert_can_migrate``)."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from services.simulator.calls.motion_rules import REQUIRED
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import attachments, gpus, placement, vdi_rules
from services.simulator.pool.remote_pool import RemotePool

Map = dict[str, str]
_ASKED_FOR = ("SR", "PBD", "SM", "network", "GPU_group")


@dataclass(frozen=True)
class Wish:
    """What a client asks for: ``disks`` to SRs, ``networks`` by VIF and groups by virtual GPU, all there;
    image ``formats`` by disk where it has a wish.
    """

    dest: Map
    disks: Map
    networks: Map
    options: Map
    formats: Map = field(default_factory=dict)
    gpus: Map = field(default_factory=dict)

    @property
    def copy(self) -> bool:
        return self.options.get("copy") == "true"

    @property
    def force(self) -> bool:
        return self.options.get("force") == "true"


@dataclass(frozen=True)
class There:
    """The other pool as it is now: records by reference, ``host`` and its free memory in bytes."""

    pool: dict[str, Any]
    host: dict[str, Any]
    free_memory: int
    records: dict[str, dict[str, dict[str, Any]]]

    @classmethod
    def ask(cls, remote: RemotePool, host: str) -> "There":
        """Blocks. Raises what the other pool answers."""
        (pool,) = remote.call("pool.get_all_records").values()
        records = {name: remote.call(f"{name}.get_all_records") for name in _ASKED_FOR}
        free = remote.call("host.compute_free_memory", host)
        return cls(pool, remote.call("host.get_record", host), int(free), records)

    def features(self, sr: str) -> set[str]:
        type_ = self.records["SR"][sr]["type"]
        return {name for sm in self.records["SM"].values() if sm["type"] == type_ for name in sm["features"]}

    def sees(self, host: str, sr: str) -> bool:
        pbds = (self.records["PBD"][pbd] for pbd in self.records["SR"][sr]["PBDs"])
        return any(pbd["host"] == host and pbd["currently_attached"] for pbd in pbds)


@dataclass(frozen=True)
class Emigration:
    """``disks`` are all that go along, with their SRs there; ``remote`` is the other pool, ``receiver`` the
    host that takes the data."""

    vm: Row
    host: str
    remote: RemotePool
    receiver: RemotePool
    disks: Map
    networks: Map
    gpus: Map
    formats: Map
    copy: bool


async def plan(call: Call, vm: Row, wish: Wish) -> Emigration:
    """Raises ``VDI_NOT_IN_MAP``, ``VIF_NOT_IN_MAP``, ``VDI_CBT_ENABLED`` (of a snapshot's disk too),
    ``SR_DOES_NOT_SUPPORT_MIGRATION``, ``VM_REQUIRES_SR``, ``HOST_DISABLED``, ``HOST_NOT_ENOUGH_FREE_MEMORY``,
    ``VM_HOST_INCOMPATIBLE_VERSION_MIGRATE``, ``VM_INCOMPATIBLE_WITH_THIS_HOST``, and ``VM_BAD_POWER_STATE``
    for a copy of a VM that is not off.
    """
    missing = {"host", "master", "SM", "session_id"} - wish.dest.keys()
    if missing:
        raise XapiFailure("INTERNAL_ERROR", "Not_found")
    host, session = wish.dest["host"], wish.dest["session_id"]
    remote = RemotePool(wish.dest["master"], session)
    there = await asyncio.to_thread(There.ask, remote, host)
    _check_host(call, vm, wish, host, there)
    disks = _disks(call, vm, wish, there)
    for vdi, sr in disks.items():
        _check_disk(call, vm, vdi, sr, host, there)
    networks = _networks(call, _with_snapshots(call, vm, wish), wish, there)
    receiver = RemotePool(wish.dest["SM"], session)
    return Emigration(
        vm, host, remote, receiver, disks, networks, _groups(call, vm, wish, there), wish.formats, wish.copy
    )


def _with_snapshots(call: Call, vm: Row, wish: Wish) -> list[Row]:
    """A copy leaves its snapshots behind."""
    return [vm, *(call.db.row("VM", ref) for ref in vm["snapshots"] if not wish.copy)]


def _check_host(call: Call, vm: Row, wish: Wish, host: str, there: There) -> None:
    ours = call.db.row("host", call.pool.coordinator.ref)
    versions = [(row["API_version_major"], row["API_version_minor"]) for row in (there.host, ours)]
    if versions[0] < versions[1]:
        raise XapiFailure("VM_HOST_INCOMPATIBLE_VERSION_MIGRATE", vm.ref, host)
    if wish.copy and not wish.force and vm["power_state"] != "Halted":
        raise XapiFailure("VM_BAD_POWER_STATE", vm.ref, "halted", vm["power_state"].lower())
    if not there.host["enabled"]:
        raise XapiFailure("HOST_DISABLED", host)
    if vm["power_state"] != "Halted" and not wish.force:
        _check_processor(vm, host, there.host["cpu_info"])
    needed = vm["memory_static_max"] + placement.memory_overhead(vm)
    if vm["power_state"] in ("Running", "Paused") and needed > there.free_memory:
        raise XapiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(there.free_memory))


def _check_processor(vm: Row, host: str, offered: Map) -> None:
    """What the VM found when it started must be there (xapi: ocaml/xapi/cpuid_helpers.ml)."""
    used = vm["last_boot_CPU_flags"]
    name = "features_hvm" if vm["domain_type"] != "pv" else "features_pv"
    words = zip(used.get("features", "").split("-"), offered.get(name, "").split("-"), strict=False)
    lacking = any(int(wanted or "0", 16) & ~int(given or "0", 16) for wanted, given in words)
    if used.get("vendor", offered["vendor"]) != offered["vendor"] or lacking:
        why = "VM last booted on a CPU with features this host's CPU does not have."
        raise XapiFailure("VM_INCOMPATIBLE_WITH_THIS_HOST", vm.ref, host, why)


def _disks(call: Call, vm: Row, wish: Wish, there: There) -> Map:
    """Disks, snapshots' disks and memory images, the smallest and oldest first."""
    own = [vdi for vbd, vdi in attachments.disks_in_use(call.pool, vm) if vbd["type"] != "CD"]
    chosen: Map = {}
    for vdi in own:
        if vdi.ref not in wish.disks:
            raise XapiFailure("VDI_NOT_IN_MAP", vdi.ref)
        chosen[vdi.ref] = wish.disks[vdi.ref]
    default = there.pool["default_SR"]
    for each in _with_snapshots(call, vm, wish):
        for vbd, vdi in attachments.disks_in_use(call.pool, each):
            if vbd["type"] != "CD" and vdi.ref not in chosen:
                chosen[vdi.ref] = wish.disks.get(vdi.ref) or wish.disks.get(vdi["snapshot_of"]) or default
        image = each["suspend_VDI"]
        if each["power_state"] == "Suspended" and image != NULL_REF:
            suspend = [there.pool["suspend_image_SR"], there.host["suspend_image_sr"], default]
            chosen[image] = wish.disks.get(image) or next((sr for sr in suspend if sr != NULL_REF), NULL_REF)
    rows = sorted((call.db.row("VDI", ref) for ref in chosen), key=_age)
    return {row.ref: chosen[row.ref] for row in rows}


def _age(vdi: Row) -> tuple[int, str]:
    return vdi["virtual_size"], str(vdi["snapshot_time"])


def _check_disk(call: Call, vm: Row, ref: str, sr: str, host: str, there: There) -> None:
    vdi = call.db.row("VDI", ref)
    if sr == NULL_REF:
        raise XapiFailure("VDI_NOT_IN_MAP", ref)
    if sr not in there.records["SR"]:
        raise XapiFailure("HANDLE_INVALID", "SR", sr)
    if vdi["on_boot"] == "reset":
        raise XapiFailure("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", ref)
    for place, features in ((vdi["SR"], vdi_rules.sm_features(call.db, vdi["SR"])), (sr, there.features(sr))):
        if not set(REQUIRED) <= set(features):
            raise XapiFailure("SR_DOES_NOT_SUPPORT_MIGRATION", place, ", ".join(REQUIRED))
    if not there.sees(host, sr):
        raise XapiFailure("VM_REQUIRES_SR", vm.ref, sr)
    if vdi["cbt_enabled"]:
        raise XapiFailure("VDI_CBT_ENABLED", ref)


def _networks(call: Call, vms: list[Row], wish: Wish, there: There) -> Map:
    """A VIF that is not named goes where another with its MAC goes."""
    for network in wish.networks.values():
        if network not in there.records["network"]:
            raise XapiFailure("HANDLE_INVALID", "network", network)
    by_mac = {call.db.row("VIF", vif)["MAC"]: network for vif, network in wish.networks.items()}
    chosen: Map = {}
    for vif in (call.db.row("VIF", ref) for vm in vms for ref in vm["VIFs"]):
        target = wish.networks.get(vif.ref) or by_mac.get(vif["MAC"])
        if target is None:
            raise XapiFailure("VIF_NOT_IN_MAP", vif.ref)
        chosen[vif.ref] = target
    return chosen


def _groups(call: Call, vm: Row, wish: Wish, there: There) -> Map:
    """GPU groups there. Raises ``HANDLE_INVALID``, and ``VM_REQUIRES_GPU`` for one without processors that is
    to take what runs (xapi: xapi_pgpu_helpers.ml ``assert_destination_has_pgpu_compatible_with_vm``).
    """
    groups = there.records["GPU_group"]
    for vgpu, group in wish.gpus.items():
        if group not in groups:
            raise XapiFailure("HANDLE_INVALID", "GPU_group", group)
        shared = gpus.is_shared(call.db, call.db.row("VGPU", vgpu))
        if vm["power_state"] != "Halted" and shared and not groups[group]["PGPUs"]:
            raise XapiFailure("VM_REQUIRES_GPU", vm.ref, group)
    return wish.gpus
