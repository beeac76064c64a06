"""A host's side of its NBD server: who may read which disk, and the VBD that shows it (xapi:
ocaml/xapi-nbd).
"""

import re

from services.simulator.failure import XapiFailure
from services.simulator.nbd.ports import Export, ExportRefused, Mode
from services.simulator.pool import allowed_operations, domains
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool, disk_work

_EXPORT_NAME = re.compile(r"/([0-9a-f-]{36})\?session_id=(OpaqueRef:[0-9a-f-]+)(&.*)?")


class NbdDoor:
    """Fulfils ``nbd.ports.Door``."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    def mode(self) -> Mode:
        """Both purposes at once, or none, means that nobody is let in."""
        purposes = {purpose for network in self._pool.db.rows("network") for purpose in network["purpose"]}
        wanted = purposes & {Mode.FORCED_TLS.value, Mode.PLAIN.value}
        return Mode(wanted.pop()) if len(wanted) == 1 else Mode.CLOSED

    async def open_export(self, name: str) -> Export:
        """Plug the disk into this host's control domain. Raises ``ExportRefused``."""
        match = _EXPORT_NAME.fullmatch(name)
        if match is None:
            raise ExportRefused("the export name is not /<VDI uuid>?session_id=<reference>")
        uuid, session = match.group(1), match.group(2)
        try:
            self._pool.sessions.use(session)
            vdi = self._pool.db.by_uuid("VDI", uuid)
            if not domains.sees(self._pool, self._host.ref, vdi["SR"]):
                raise ExportRefused(f"host {self._host.name} does not see the storage of VDI {uuid}")
            disk = await disk_work(self._pool.repository(vdi["SR"]).disk, uuid)
        except XapiFailure as failure:
            raise ExportRefused(f"VDI {uuid}: {failure.code}") from failure
        return Export(disk, self._plug(vdi.ref))

    async def close_export(self, export: Export) -> None:
        """Take the disk out again; somebody may have done so already."""
        vbd = str(export.token)
        row = self._pool.db.find("VBD", vbd)
        if row is not None:
            self._pool.db.delete("VBD", vbd)
            allowed_operations.refresh(self._pool.db, "VDI", row["VDI"])

    def _plug(self, vdi: str) -> str:
        dom0 = self._pool.db.row("host", self._host.ref)["control_domain"]
        taken = {self._pool.db.row("VBD", ref)["userdevice"] for ref in self._pool.db.row("VM", dom0)["VBDs"]}
        number = next(number for number in range(256) if str(number) not in taken)
        vbd = self._pool.create(
            "VBD",
            VM=dom0,
            VDI=vdi,
            userdevice=str(number),
            device=f"sm/backend/{number}",
            mode="RO",
            type="Disk",
            unpluggable=True,
            currently_attached=True,
        )
        allowed_operations.refresh(self._pool.db, "VDI", vdi)
        return vbd
