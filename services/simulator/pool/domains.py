"""Running VMs: what changes in the database when a domain appears, stops, sleeps or dies with its host."""

import base64
import hashlib
from typing import Any

from services.simulator.database.row import Row
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, attachments, consoles, gpus, guest_tools, placement
from services.simulator.pool.facts import BIOS_STRINGS
from services.simulator.pool.pool import Pool
from services.simulator.wire.datetimes import EPOCH

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
        pool.db.set("VM", vm, "guest_metrics", guest_tools.add_guest_metrics(pool, row))
    pool.db.update(
        "VM",
        vm,
        power_state=power_state,
        resident_on=host,
        domid=next(pool.domids),
        memory_overhead=placement.memory_overhead(row),
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
            await attachments.detach(pool, vbd)
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
    for _, vdi in attachments.disks_in_use(pool, vm):
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
    for _, vdi in attachments.disks_in_use(pool, vm):
        await pool.guest_disks.hold(vdi["uuid"])


async def let_guest_go_on(pool: Pool, vm: Row) -> None:
    """It runs on after a pause."""
    for _, vdi in attachments.disks_in_use(pool, vm):
        pool.guest_disks.go_on(vdi["uuid"])
    if (machine := pool.machines.get(vm["uuid"])) is not None:
        await machine.go_on()


def _manufactured_tpm(pool: Pool) -> str:
    """The state of a TPM after its first start: seeds that no other has."""
    return base64.b64encode(hashlib.shake_256(pool.ids.new().encode()).digest(_TPM_STATE_SIZE)).decode()
