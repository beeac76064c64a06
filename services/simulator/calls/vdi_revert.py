"""VDI.revert (xapi: doc/content/design/snapshot-revert.md, since 26.16).

The storage must be able to; no released driver is, so VM.revert clones unless the pool's description says
otherwise.
"""

from services.simulator.database.database import Database
from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.pool import vdi_rules
from services.simulator.pool.operations import vdi_operation
from services.simulator.pool.pool import disk_work


def can_revert(db: Database, snapshot: Row) -> bool:
    """Whether the disk of a snapshot can be as it was again, and stay the disk that it is."""
    able = vdi_rules.FEATURES["revert_to"] in vdi_rules.sm_features(db, snapshot["SR"])
    disk = db.find("VDI", snapshot["snapshot_of"])
    return able and disk is not None and disk["SR"] == snapshot["SR"]


async def revert(call: Call, ref: str) -> None:
    """The disk of the snapshot reads as the snapshot does, and its changes are not tracked any more. A guest
    that uses the disk is not asked. Raises ``UNIMPLEMENTED_IN_SM_BACKEND``, and ``HANDLE_INVALID`` for what
    is no snapshot of a disk that is still there.
    """
    snapshot = call.db.row("VDI", ref)
    if vdi_rules.FEATURES["revert_to"] not in vdi_rules.sm_features(call.db, snapshot["SR"]):
        raise XapiFailure("UNIMPLEMENTED_IN_SM_BACKEND", "VDI.revert")
    disk = call.db.row("VDI", snapshot["snapshot_of"])
    repository = call.pool.repository(snapshot["SR"])
    async with vdi_operation(call, ref, "revert_from"), vdi_operation(call, disk.ref, "revert_to"):
        base = call.pool.ids.new()
        await disk_work(repository.revert, disk["uuid"], snapshot["uuid"], base)
        await call.pool.disks[snapshot["SR"]].follow()
    call.pool.disks[snapshot["SR"]].coalesce_soon()
