"""A host's side of its NBD server: who may read which disk, and the VBD that shows it.

Source: xapi, ocaml/xapi-nbd.
"""

import re
import threading
from collections.abc import Iterator

from services.simulator.failure import XapiFailure
from services.simulator.nbd.ports import Export, ExportRefused, Mode
from services.simulator.pool import control_domain, placement
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.storage.ports import Disk, Extent

_EXPORT_NAME = re.compile(r"/([0-9a-f-]{36})\?session_id=(OpaqueRef:[0-9a-f-]+)(&.*)?")


class NbdDoor:
    """Fulfils ``nbd.ports.Door``, by the database of the coordinator that the host follows."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._whole = pool
        self._host = host

    @property
    def _pool(self) -> Pool:
        return self._whole.led_with(self._host)

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
            if not placement.sees(self._pool, self._host.ref, vdi["SR"]):
                raise ExportRefused(f"host {self._host.name} does not see the storage of VDI {uuid}")
            disk = await disk_work(self._pool.repository(vdi["SR"]).disk, uuid)
        except XapiFailure as failure:
            raise ExportRefused(f"VDI {uuid}: {failure.code}") from failure
        vbd = control_domain.plug(self._pool, self._host.ref, vdi.ref, "RO")
        return Export(MeteredDisk(disk, self._host), vbd, lambda: self._host.link.limited)

    async def close_export(self, export: Export) -> None:
        for pool in (self._whole, self._whole.rival):  # opened before a split, it is plugged in both
            if pool is not None:
                control_domain.unplug(pool, str(export.token))


class MeteredDisk:
    """A disk whose reads count as sent by a host, at the speed of its link."""

    def __init__(self, disk: Disk, host: Host) -> None:
        self._disk = disk
        self._host = host

    @property
    def uuid(self) -> str:
        return self._disk.uuid

    @property
    def virtual_size(self) -> int:
        return self._disk.virtual_size

    def read_into(self, offset: int, buffer: memoryview | bytearray) -> None:
        """Small reads, made on the event loop, leave their delay to the next one made in a thread."""
        self._disk.read_into(offset, buffer)
        self._host.nbd_sent_bytes += len(buffer)
        if threading.current_thread() is threading.main_thread():
            self._host.link.delay(len(buffer))
        else:
            self._host.link.pause(len(buffer))

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._disk.write(offset, data)

    def write_zeroes(self, offset: int, length: int) -> None:
        self._disk.write_zeroes(offset, length)

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        return self._disk.extents(offset, length)

    def differences(self, base: str) -> Iterator[Extent]:
        return self._disk.differences(base)
