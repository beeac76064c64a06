"""Which parts of a snapshot's disk were ever written, or differ from an older snapshot with its data
(xapi: /export_raw_vdi with format=vhd, and with base).

Only the head of the export is read, then the connection is closed: the pool ends its work and lets go of the
disk. The table tells of 2 MiB at a time. Without that knowledge everything is read.
"""

from urllib.parse import urlencode

from services.hypervisor.adapters import xapi_tasks
from services.hypervisor.adapters.pinned_https import ConnectFailed, ConnectionLost, WrongCertificate
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import XapiObjects
from services.hypervisor.adapters.xapi_readers import XapiReaders
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.allocation import HEAD_BYTES, allocation_bitmap, table_span

TIMEOUT_S = 60.0


class XapiAllocation:
    """Asks one of the hosts that see the disk's storage repository."""

    def __init__(self, session: XapiSession, objects: XapiObjects, readers: XapiReaders) -> None:
        self._session = session
        self._objects = objects
        self._readers = readers

    async def allocated_blocks(self, snapshot_disk_id: str) -> bytes | str:
        """See ports.Readers."""
        return await self._blocks(snapshot_disk_id, None)

    async def differing_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        """See ports.Readers."""
        with translating(f"reading disk {base_disk_id}"):
            base = await self._objects.ref("VDI", base_disk_id)
        if base is None:
            return "the snapshot to compare with is gone"
        return await self._blocks(snapshot_disk_id, base)

    async def _blocks(self, snapshot_disk_id: str, base: str | None) -> bytes | str:
        with translating(f"reading disk {snapshot_disk_id}"):
            ref = await self._objects.ref("VDI", snapshot_disk_id)
            vdi = await self._objects.record("VDI", ref) if ref else None
            if ref is None or vdi is None:
                return "the snapshot is gone"
            hosts = sorted(await self._readers.hosts_seeing(vdi["SR"]))
        if not hosts:
            return "no live host sees its storage repository"
        task = await xapi_tasks.create(self._session, f"Xenkeep looks at disk {snapshot_disk_id}")
        try:
            return await self._ask(hosts[int(snapshot_disk_id[:8], 16) % len(hosts)][1], ref, task, vdi, base)
        except (ConnectFailed, ConnectionLost, WrongCertificate, ValueError) as error:
            return str(error)
        except XapiFailure as failure:
            return failure.words
        finally:
            await xapi_tasks.discard(self._session, task)

    async def _ask(
        self, address: str, ref: str, task: str, vdi: dict[str, object], base: str | None
    ) -> bytes:
        link = await self._session.link()
        query = {"session_id": link.ref, "task_id": task, "vdi": ref, "format": "vhd"}
        query |= {"base": base} if base else {}
        https = self._session.member(address)
        async with https.beginning(f"/export_raw_vdi?{urlencode(query)}", TIMEOUT_S) as body:
            head = await body.exactly(HEAD_BYTES)
            offset, length = table_span(head, differencing=base is not None)
            await body.exactly(offset - HEAD_BYTES)
            return allocation_bitmap(head, await body.exactly(length), int(str(vdi["virtual_size"])))
