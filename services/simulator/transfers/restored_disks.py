"""Where the disks of VMs that are made from exported records come from."""

from typing import Protocol

from services.simulator.failure import XapiFailure
from services.simulator.pool.pool import Pool
from services.simulator.transfers.gpus import MAPS_TO
from services.simulator.transfers.ova import Exported


class Disks(Protocol):
    """Where the disks of a restored VM are."""

    may_make_gpu_groups: bool
    """An import of whole VMs makes the groups it does not find, one of metadata alone does not."""

    def check(self, vdi: Exported, sr: Exported | None) -> None:
        """Raises when the disk is not to be had."""

    def find(self, vdi: Exported, sr: Exported | None) -> str | None:
        """Its reference; None when its VBD is to be left out."""


class ExistingDisks:
    """Disks that are in the pool: ``mapped`` by uuid, others by SR and location (recorded)."""

    may_make_gpu_groups = False

    def __init__(self, pool: Pool, mapped: dict[str, str], *, force: bool) -> None:
        self._pool = pool
        self._mapped = mapped
        self._force = force

    def check(self, vdi: Exported, sr: Exported | None) -> None:
        """Raises ``VDI_LOCATION_MISSING``, or ``VDI_CONTENT_ID_MISSING`` when the SR is unknown too."""
        if self.find(vdi, sr) is None and not self._force:
            here = None if sr is None else self._pool.db.tables["SR"].by_uuid(sr.record["uuid"])
            if here is None:
                raise XapiFailure("VDI_CONTENT_ID_MISSING")
            raise XapiFailure("VDI_LOCATION_MISSING", here.ref, vdi.record["location"])

    def find(self, vdi: Exported, sr: Exported | None) -> str | None:
        mapped = self._mapped.get(vdi.record["uuid"])
        if mapped is not None:
            row = self._pool.db.tables["VDI"].by_uuid(mapped)
            return None if row is None else row.ref
        moved = self._pool.db.find("VDI", vdi.record["other_config"].get(MAPS_TO, ""))
        if moved is not None:
            return moved.ref
        here = None if sr is None else self._pool.db.tables["SR"].by_uuid(sr.record["uuid"])
        if here is None:
            return None
        disks = (self._pool.db.row("VDI", ref) for ref in here["VDIs"])
        return next((disk.ref for disk in disks if disk["location"] == vdi.record["location"]), None)
