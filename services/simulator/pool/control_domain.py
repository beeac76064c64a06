"""Disks plugged into control domains, as the toolstack does to read and write them itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.simulator.pool import allowed_operations
from services.simulator.pool.pool import Pool


def plug(pool: Pool, host: str, vdi: str, mode: str) -> str:
    """A VBD, attached to the control domain of ``host``; ``mode`` is ``RO`` or ``RW``."""
    dom0 = pool.db.row("host", host)["control_domain"]
    taken = {pool.db.row("VBD", ref)["userdevice"] for ref in pool.db.row("VM", dom0)["VBDs"]}
    number = next(number for number in range(len(taken) + 1) if str(number) not in taken)
    disk = pool.db.row("VDI", vdi)
    sr = pool.db.row("SR", disk["SR"])
    vbd = pool.create(
        "VBD",
        VM=dom0,
        VDI=vdi,
        userdevice=str(number),
        device=f"sm/backend/{sr['uuid']}/{disk['uuid']}",
        mode=mode,
        type="Disk",
        unpluggable=True,
        currently_attached=True,
    )
    allowed_operations.refresh(pool.db, "VBD", vbd)
    allowed_operations.refresh(pool.db, "VDI", vdi)
    return vbd


def unplug(pool: Pool, vbd: str) -> None:
    """Take the disk out; somebody may have done so already."""
    row = pool.db.find("VBD", vbd)
    if row is not None:
        pool.db.delete("VBD", vbd)
        allowed_operations.refresh(pool.db, "VDI", row["VDI"])


@asynccontextmanager
async def plugged(pool: Pool, host: str, vdi: str, mode: str) -> AsyncIterator[None]:
    """Plugged for the length of the block."""
    vbd = plug(pool, host, vdi, mode)
    try:
        yield
    finally:
        unplug(pool, vbd)
