"""Disks at VMs: attached and detached, who may write, and what becomes of the log of changed blocks."""

from collections.abc import Sequence

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool.pool import Pool, disk_work


def disks_in_use(pool: Pool, vm: Row) -> list[tuple[Row, Row]]:
    """(VBD, VDI) of every disk the VM has."""
    vbds = [pool.db.row("VBD", ref) for ref in vm["VBDs"]]
    return [(vbd, pool.db.row("VDI", vbd["VDI"])) for vbd in vbds if vbd["VDI"] != NULL_REF]


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


def written_by_guest(pool: Pool, vdi: Row) -> bool:
    """Whether a running VM may write to the disk."""
    vbds = (pool.db.row("VBD", ref) for ref in vdi["VBDs"])
    return any(
        vbd["currently_attached"]
        and vbd["mode"] == "RW"
        and pool.db.row("VM", vbd["VM"])["power_state"] == "Running"
        for vbd in vbds
    )


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


def _letters(number: int) -> str:
    """Device letters after ``xvd``: a, b, …, z, aa, ab, …"""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters
