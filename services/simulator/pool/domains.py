"""Running VMs: what changes in the database when a domain appears, stops, sleeps or dies with its host."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, consoles, gpus
from services.simulator.pool.facts import BIOS_STRINGS
from services.simulator.pool.pool import Guest, Pool, disk_work
from services.simulator.wire.datetimes import EPOCH

_MIB = 1024**2
_TPM_STATE_SIZE = 4096
UNSET_GENERATION = "0:0"
"""The generation_id of a VM that never ran."""


def mac_address(mac_seed: str, device: str) -> str:
    """The MAC of a VIF that has none of its own: locally administered, the same for the same seed and
    device.
    """
    digest = hashlib.sha256(f"{mac_seed}/{device}".encode()).digest()
    first = (digest[0] & 0xFC) | 0x02
    return ":".join(f"{byte:02x}" for byte in (first, *digest[1:6]))


def generation_id(pool: Pool) -> str:
    """Two 64-bit numbers; a guest sees that they changed when it was cloned or reverted."""
    number = hashlib.sha256(pool.ids.new().encode()).digest()
    return f"{int.from_bytes(number[:8]) >> 1}:{int.from_bytes(number[8:16]) >> 1}"


def memory_overhead(vm: Mapping[str, Any]) -> int:
    """Bytes that a VM costs beyond its memory: shadow pages and what the device model needs.

    Source: xapi, ocaml/xapi/memory.ml; recorded for 1 VCPU and 256 MiB, HVM, PV, and with a multiplier.
    """
    shadow = vm["VCPUs_max"] + vm["memory_static_max"] // _MIB // 128
    device_model = 1 if vm["domain_type"] != "pv" else 0
    return (int(shadow * vm["HVM_shadow_multiplier"]) + 1 + device_model) * _MIB


def disks_in_use(pool: Pool, vm: Row) -> list[tuple[Row, Row]]:
    """(VBD, VDI) of every disk the VM has."""
    vbds = [pool.db.row("VBD", ref) for ref in vm["VBDs"]]
    return [(vbd, pool.db.row("VDI", vbd["VDI"])) for vbd in vbds if vbd["VDI"] != NULL_REF]


def free_memory(pool: Pool, host: str) -> int:
    """Bytes that a host has for more VMs."""
    row = pool.db.row("host", host)
    used = sum(pool.db.row("VM", vm)["memory_static_max"] for vm in row["resident_VMs"])
    total = pool.db.row("host_metrics", row["metrics"])["memory_total"]
    return int(total - row["memory_overhead"] - used)


def possible_hosts(pool: Pool, vm: Row) -> list[str]:
    """Live, enabled hosts that see all the VM's SRs and have its GPUs, affinity first, then the one with
    most free memory."""
    srs = {vdi["SR"] for _, vdi in disks_in_use(pool, vm)}
    hosts = [
        host.ref
        for host in pool.hosts.values()
        if pool.hears(host) and pool.db.row("host", host.ref)["enabled"]
    ]
    seeing = [host for host in hosts if all(sees(pool, host, sr) for sr in srs)]
    seeing = [host for host in seeing if gpus.fits(pool.db, host, vm)]
    return sorted(seeing, key=lambda host: (host != vm["affinity"], -free_memory(pool, host)))


def sees(pool: Pool, host: str, sr: str) -> bool:
    """Whether the host has the SR attached."""
    pbds = (pool.db.row("PBD", ref) for ref in pool.db.row("SR", sr)["PBDs"])
    return any(pbd["host"] == host and pbd["currently_attached"] for pbd in pbds)


def choose_host(pool: Pool, vm: Row) -> str:
    """Raises ``NO_HOSTS_AVAILABLE``, ``HOST_NOT_ENOUGH_FREE_MEMORY``, or why no processor takes the VM's
    first GPU."""
    for vgpu in gpus.of_vm(pool.db, vm)[:1]:
        gpus.group_capacity(pool.db, vgpu["GPU_group"], vgpu["type"])
    hosts = possible_hosts(pool, vm)
    if not hosts:
        raise XapiFailure("NO_HOSTS_AVAILABLE")
    needed = vm["memory_static_max"] + memory_overhead(vm)
    with_room = [host for host in hosts if free_memory(pool, host) >= needed]
    if not with_room:
        available = max(free_memory(pool, host) for host in hosts)
        raise XapiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(available))
    return with_room[0]


async def attach_disks(pool: Pool, vm: str) -> None:
    """Attach every disk and VIF that is not. Raises ``VDI_IN_USE`` when another VM writes to a disk; then
    none is attached.
    """
    row = pool.db.row("VM", vm)
    for vbd, vdi in disks_in_use(pool, row):
        check_exclusive(pool, vbd, vdi, among=row["VBDs"])
    for vbd_ref in row["VBDs"]:
        if not pool.db.row("VBD", vbd_ref)["currently_attached"]:
            await attach(pool, vbd_ref)
    for vif in row["VIFs"]:
        pool.db.set("VIF", vif, "currently_attached", True)


def check_exclusive(pool: Pool, vbd: Row, vdi: Row, among: Sequence[str] = ()) -> None:
    """Raises ``VDI_IN_USE`` when a VBD that is attached, or is ``among`` those to come, excludes this one."""
    if vdi["sharable"]:
        return
    others = [pool.db.row("VBD", ref) for ref in vdi["VBDs"] if ref != vbd.ref]
    present = [other for other in others if other["currently_attached"] or other.ref in among]
    if any("RW" in (other["mode"], vbd["mode"]) for other in present):
        raise XapiFailure("VDI_IN_USE", vdi.ref)


def check_unused(pool: Pool, vdi: Row) -> None:
    """Raises ``VDI_IN_USE`` when the disk is attached anywhere, so that nobody else may write to it."""
    if not vdi["sharable"] and any(pool.db.row("VBD", ref)["currently_attached"] for ref in vdi["VBDs"]):
        raise XapiFailure("VDI_IN_USE", vdi.ref)


async def attach(pool: Pool, vbd_ref: str) -> None:
    """Mark a VBD attached; a log of changed blocks that a crash left inconsistent is dropped, and said so."""
    vbd = pool.db.row("VBD", vbd_ref)
    device = f"xvd{_letters(int(vbd['userdevice']))}" if vbd["userdevice"].isdecimal() else vbd["userdevice"]
    pool.db.update("VBD", vbd_ref, currently_attached=True, device=device)
    vdi = pool.db.find("VDI", vbd["VDI"])
    if vdi is None or vbd["mode"] != "RW" or not vdi["managed"]:
        return
    changed = {**vdi["other_config"], "content_id": pool.ids.new()}
    pool.db.set(
        "VDI", vdi.ref, "other_config", changed
    )  # as xapi does for what will be written to (recorded)
    if vdi["cbt_enabled"] and not await disk_work(pool.repository(vdi["SR"]).activate, vdi["uuid"]):
        tell_of_lost_tracking(pool, vdi)


_LOST_AT = {"snapshot": "VDI_CBT_SNAPSHOT_FAILED", "resize": "VDI_CBT_RESIZE_FAILED"}
"""Messages about a log that was lost in the course of something else (sm: libs/sm/VDI.py
``_disable_cbt_on_error``)."""


async def lose_tracking(pool: Pool, vdi: Row, moment: str) -> None:
    """Drop the disk's log if that was ordered for this ``moment``: ``snapshot`` or ``resize``."""
    if vdi["cbt_enabled"] and pool.mishaps.loses_tracking(vdi["uuid"], moment):
        await disk_work(pool.repository(vdi["SR"]).disable_cbt, vdi["uuid"])
        tell_of_lost_tracking(pool, vdi, _LOST_AT[moment])


def tell_of_lost_tracking(pool: Pool, vdi: Row, message: str = "VDI_CBT_METADATA_INCONSISTENT") -> None:
    """The disk's log of changed blocks is gone."""
    pool.db.set("VDI", vdi.ref, "cbt_enabled", False)
    body = f"Changed block tracking has been disabled: the log of VDI {vdi['uuid']} is not usable"
    pool.messages.create(message, "VDI", vdi["uuid"], body)


def written_by_guest(pool: Pool, vdi: Row) -> bool:
    """Whether a running VM may write to the disk."""
    vbds = (pool.db.row("VBD", ref) for ref in vdi["VBDs"])
    return any(
        vbd["currently_attached"]
        and vbd["mode"] == "RW"
        and pool.db.row("VM", vbd["VM"])["power_state"] == "Running"
        for vbd in vbds
    )


async def detach(pool: Pool, vbd_ref: str) -> None:
    """In good order: what was written is in the disk and its log."""
    vbd = pool.db.row("VBD", vbd_ref)
    was_attached = vbd["currently_attached"]
    vdi = pool.db.find("VDI", vbd["VDI"])
    if vdi is not None and vbd["mode"] == "RW":
        await pool.guest_disks.detach(vdi["uuid"])
    pool.db.update("VBD", vbd_ref, currently_attached=False)
    if was_attached and vdi is not None and vbd["mode"] == "RW" and vdi["cbt_enabled"]:
        await disk_work(pool.repository(vdi["SR"]).deactivate, vdi["uuid"])


def _cpu_flags(pool: Pool, hvm: bool) -> dict[str, str]:
    """What a VM that starts sees of its processor: as much as every host has (xapi: cpuid_helpers.ml)."""
    cpu = pool.db.only("pool")["cpu_info"]
    return {"vendor": cpu["vendor"], "features": cpu["features_hvm" if hvm else "features_pv"]}


def measure(pool: Pool, vm: Row, **values: Any) -> None:
    """Write down what was measured of a VM; one that was a template once has nowhere for it."""
    if pool.db.find("VM_metrics", vm["metrics"]) is not None:
        pool.db.update("VM_metrics", vm["metrics"], **values)


def ensure_metrics(pool: Pool) -> None:
    """A coordinator that starts gives them to VMs that lack them, templates too (xapi:
    ocaml/xapi/dbsync_master.ml ``ensure_vm_metrics_records_exist``).
    """
    for vm in pool.db.rows("VM"):
        if pool.db.find("VM_metrics", vm["metrics"]) is None:
            pool.db.set("VM", vm.ref, "metrics", new_metrics(pool))


def new_metrics(pool: Pool) -> str:
    """Of a VM that never ran."""
    return pool.create("VM_metrics", current_domain_type="unspecified")


async def started(pool: Pool, vm: str, host: str, power_state: str = "Running") -> None:
    """A domain of the VM runs on ``host``; its disks are attached already."""
    row = pool.db.row("VM", vm)
    metrics = pool.db.find("VM_metrics", row["metrics"])
    first_start = metrics is not None and metrics["install_time"] == EPOCH
    hvm = row["domain_type"] != "pv"
    measure(
        pool,
        row,
        start_time=pool.now(),
        last_updated=pool.now(),
        memory_actual=row["memory_static_max"],
        VCPUs_number=row["VCPUs_at_startup"],
        state=["running"],
        hvm=hvm,
        current_domain_type="hvm" if hvm else "pv",
        **({"install_time": pool.now()} if first_start else {}),
    )
    if pool.db.find("VM_guest_metrics", row["guest_metrics"]) is None:
        pool.db.set("VM", vm, "guest_metrics", add_guest_metrics(pool, row))
    pool.db.update(
        "VM",
        vm,
        power_state=power_state,
        resident_on=host,
        domid=next(pool.domids),
        memory_overhead=memory_overhead(row),
        generation_id=generation_id(pool)
        if row["generation_id"] == UNSET_GENERATION
        else row["generation_id"],
        platform={"device-model": "qemu-upstream-compat", **row["platform"]} if hvm else row["platform"],
        memory_target=row["memory_static_max"],
        last_boot_CPU_flags=row["last_boot_CPU_flags"]
        if row["power_state"] == "Suspended"
        else _cpu_flags(pool, hvm),
        hardware_platform_version=2,
        **({} if row["bios_strings"] else {"bios_strings": BIOS_STRINGS}),
    )
    for usb in row.get("VUSBs", ()):
        pool.db.set("VUSB", usb, "currently_attached", True)
    gpus.place(pool.db, host, row)
    consoles.follow(pool, vm)
    for tpm in row.get("VTPMs", ()):
        pool.tpm_contents[tpm] = pool.tpm_contents.get(tpm) or _manufactured_tpm(pool)
    allowed_operations.refresh_vm(pool.db, vm)


async def stopped(pool: Pool, vm: str, *, crashed: bool = False) -> None:
    """The domain is gone. ``crashed``: with its host, so nobody closed its disks."""
    row = pool.db.row("VM", vm)
    if crashed:
        await drop_guest(pool, row)
    else:
        await _switch_off(pool, row)
    for vbd in row["VBDs"]:
        if crashed:
            pool.db.set("VBD", vbd, "currently_attached", False)
        else:
            await detach(pool, vbd)
    for vif in row["VIFs"]:
        pool.db.set("VIF", vif, "currently_attached", False)
    for usb in row.get("VUSBs", ()):
        pool.db.set("VUSB", usb, "currently_attached", False)
    gpus.release(pool.db, row)
    measure(pool, row, memory_actual=0, state=[], last_updated=pool.now())
    pool.db.update(
        "VM",
        vm,
        power_state="Halted",
        resident_on=NULL_REF,
        domid=-1,
        memory_target=0,
        requires_reboot=False,
    )
    consoles.follow(pool, vm)
    allowed_operations.refresh_vm(pool.db, vm)


async def drop_guest(pool: Pool, vm: Row) -> None:
    """Whatever runs in the VM is gone, with its connections to its disks."""
    for _, vdi in disks_in_use(pool, vm):
        await pool.guest_disks.detach(vdi["uuid"])
    await _switch_off(pool, vm)


async def _switch_off(pool: Pool, vm: Row) -> None:
    """A real machine ends, and what its guest told is forgotten with it (xapi: delete_guest_metrics)."""
    machine = pool.machines.pop(vm["uuid"], None)
    if machine is None:
        return
    await machine.close()
    if pool.db.find("VM_guest_metrics", vm["guest_metrics"]) is not None:
        pool.db.delete("VM_guest_metrics", vm["guest_metrics"])
    pool.db.set("VM", vm.ref, "guest_metrics", NULL_REF)


async def rebooted(pool: Pool, vm: str) -> None:
    """A real machine has started again, by itself or by its button: a domain of its own."""
    row = pool.db.row("VM", vm)
    measure(pool, row, start_time=pool.now(), last_updated=pool.now())
    pool.db.set("VM", vm, "domid", next(pool.domids))


async def hold_guest(pool: Pool, vm: Row) -> None:
    """The VM stands still; what its guest began to write is written."""
    if (machine := pool.machines.get(vm["uuid"])) is not None:
        await machine.hold()
    for _, vdi in disks_in_use(pool, vm):
        await pool.guest_disks.hold(vdi["uuid"])


async def let_guest_go_on(pool: Pool, vm: Row) -> None:
    """It runs on after a pause."""
    for _, vdi in disks_in_use(pool, vm):
        pool.guest_disks.go_on(vdi["uuid"])
    if (machine := pool.machines.get(vm["uuid"])) is not None:
        await machine.go_on()


def add_guest_metrics(pool: Pool, vm: Row) -> str:
    """What a guest's tools report, or the little that is known of one without.

    A VM that nobody described has tools when it has a disk to hold them.
    """
    guest = pool.guests.get(vm["uuid"], Guest(bool(disks_in_use(pool, vm)), "Debian GNU/Linux 12 (bookworm)"))
    if not guest.tools:
        return pool.create("VM_guest_metrics", live=True, last_updated=pool.now())
    facts: dict[str, Any] = {
        "os_version": {
            "name": guest.os_name,
            "distro": "debian",
            "major": "12",
            "minor": "5",
            "uname": "6.1.0-18-amd64",
        },
        "PV_drivers_version": {"major": "7", "minor": "30", "micro": "0", "build": "1"},
        "networks": {
            f"{index}/{kind}": f"192.0.2.{index + 10}"
            for index in range(len(vm["VIFs"]))
            for kind in ("ip", "ipv4/0")
        },
        "other": {
            "platform-feature-xs_reset_watches": "1",
            "feature-balloon": "1",
            "feature-suspend": "1",
            "feature-shutdown": "1",
            "feature-reboot": "1",
            "feature-poweroff": "1",
            "feature-vcpu-hotplug": "1",
            "has-vendor-device": "0",
            **({"feature-quiesce": "1", "feature-snapshot": "1"} if guest.vss else {}),
        },
        "can_use_hotplug_vbd": "yes",
        "can_use_hotplug_vif": "yes",
    }
    return pool.create(
        "VM_guest_metrics",
        PV_drivers_detected=True,
        PV_drivers_up_to_date=True,
        live=True,
        last_updated=pool.now(),
        **facts,
    )


def _manufactured_tpm(pool: Pool) -> str:
    """The state of a TPM after its first start: seeds that no other has."""
    return base64.b64encode(hashlib.shake_256(pool.ids.new().encode()).digest(_TPM_STATE_SIZE)).decode()


def _letters(number: int) -> str:
    """Device letters after ``xvd``: a, b, …, z, aa, ab, …"""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters
