"""Which parts of a snapshot's disk were ever written, or differ from an older snapshot with its data
(xapi: /export_raw_vdi with format=vhd, and with base, or with format=qcow2).

Only the head of the export is read, then the connection is closed: the pool ends its work and lets go of the
disk. A VHD's table tells of 2 MiB at a time, a QCOW2's of 64 KiB. A disk is asked for in the format it has:
the pool finds out what was written in the image's own tables; a QCOW2 of a VHD it makes by reading
all of that (xapi: ocaml/xapi/qcow_tool_wrapper.ml). Without that knowledge everything is read.
"""

from urllib.parse import urlencode

from services.hypervisor.adapters import xapi_image_formats, xapi_tasks
from services.hypervisor.adapters.pinned_https import (
    Beginning,
    ConnectFailed,
    ConnectionLost,
    HostSilent,
    WrongCertificate,
)
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import XapiObjects
from services.hypervisor.adapters.xapi_readers import XapiReaders, spread
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain import qcow2
from services.hypervisor.domain.allocation import HEAD_BYTES, allocation_bitmap, table_span
from services.hypervisor.domain.image_format import QCOW2, VHD

TIMEOUT_S = 60.0
_SKIPPED_BYTES = 1 << 20


class XapiAllocation:
    """Asks one of the hosts that see the disk's storage repository, and the next when it is out of reach."""

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
            hosts = await self._readers.hosts_seeing(vdi["SR"])
            in_qcow2 = base is None and await xapi_image_formats.of_chain(self._objects, vdi) == QCOW2
        query = {"vdi": ref, "format": QCOW2 if in_qcow2 else VHD}
        query |= {"base": base} if base else {}
        why = "no live host sees its storage repository"
        for _, address in spread(hosts, snapshot_disk_id):
            try:
                return await self._of_host(address, snapshot_disk_id, query, int(vdi["virtual_size"]))
            except (ConnectFailed, HostSilent) as error:
                why = f"{address}: {error}"
        return why

    async def _of_host(
        self, address: str, snapshot_disk_id: str, query: dict[str, str], size_bytes: int
    ) -> bytes | str:
        """Raises ConnectFailed, HostSilent: another host may tell."""
        task = await xapi_tasks.create(self._session, f"Xenkeep looks at disk {snapshot_disk_id}")
        try:
            return await self._ask(address, {"task_id": task, **query}, size_bytes)
        except (ConnectFailed, HostSilent):
            raise
        except (ConnectionLost, WrongCertificate, ValueError) as error:
            return str(error)
        except XapiFailure as failure:
            return failure.words
        finally:
            await xapi_tasks.discard(self._session, task)

    async def _ask(self, address: str, query: dict[str, str], size_bytes: int) -> bytes:
        link = await self._session.link()
        https = self._session.member(address)
        target = f"/export_raw_vdi?{urlencode({'session_id': link.ref, **query})}"
        async with https.beginning(target, TIMEOUT_S) as body:
            if query["format"] == QCOW2:
                return await _of_qcow2(body, size_bytes)
            head = await body.exactly(HEAD_BYTES)
            offset, length = table_span(head, differencing="base" in query)
            await body.exactly(offset - HEAD_BYTES)
            return allocation_bitmap(head, await body.exactly(length), size_bytes)


async def _of_qcow2(body: Beginning, size_bytes: int) -> bytes:
    layout = qcow2.layout(await body.exactly(qcow2.HEADER_BYTES))
    if layout.size_bytes != size_bytes:
        raise ValueError("it is of another size than the disk")
    await _skip(body, layout.l1_offset - qcow2.HEADER_BYTES)
    l1 = await body.exactly(layout.l1_bytes)
    allocation, position = qcow2.Allocation(layout), layout.l1_offset + layout.l1_bytes
    for offset, number in qcow2.l2_tables(layout, l1):
        await _skip(body, offset - position)
        allocation.add(number, await body.exactly(layout.cluster_bytes))
        position = offset + layout.cluster_bytes
    return allocation.bitmap()


async def _skip(body: Beginning, count: int) -> None:
    while count:
        count -= len(await body.exactly(min(count, _SKIPPED_BYTES)))
