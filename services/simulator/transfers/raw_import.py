"""PUT /import_raw_vdi (xapi: ocaml/xapi/import_raw_vdi.ml)."""

import asyncio

from services.simulator.calls import vdi as vdi_calls
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure, ocaml_failure
from services.simulator.http.exchange import Exchange
from services.simulator.pool import attachments, control_domain, placement, vdi_rules
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.storage.codecs import chunked, qcow2, raw, vhd
from services.simulator.storage.errors import BadImage, OutOfRange, StorageError
from services.simulator.storage.ports import Disk, DiskImport
from services.simulator.transfers.access import Transfer, admitted, found
from services.simulator.transfers.raw_export import redirect
from services.simulator.transfers.stream import received

FORMATS = ("raw", "vhd", "qcow2")


class RawImport:
    """Fills a disk. ``200 OK`` comes before the body is read: how it ended is in the task."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        name = "put_import_raw_vdi"
        async with admitted(self._pool, self._host, exchange, name, "Raw VDI import") as transfer:
            kind = transfer.image_format
            if kind not in FORMATS or (kind == "qcow2" and not self._pool.model.has_qcow2):
                await exchange.bare_status(404, "HTTP/1.0")
                raise ocaml_failure(f"Unknown format {kind}")
            if exchange.head.header("transfer-encoding") is not None:
                await exchange.bare_status(404, "HTTP/1.0")
                raise ocaml_failure("Cannot handle encoding")
            ref = await self._target(transfer)
            if ref is not None:
                await self._fill(transfer, ref)

    async def _target(self, transfer: Transfer) -> str | None:
        """The disk to fill; None when the client was sent elsewhere."""
        if "vdi" not in transfer.query and "sr_id" in transfer.query:
            return await self._create(transfer)
        if "vdi" not in transfer.query:
            await transfer.exchange.bare_status(400)
            raise ocaml_failure("Missing vdi parameter")
        ref = found(self._pool, "VDI", transfer.query["vdi"])
        sr = self._pool.db.row("VDI", ref)["SR"]
        if placement.sees(self._pool, self._host.ref, sr):
            return ref
        await redirect(transfer, sr)
        return None

    async def _create(self, transfer: Transfer) -> str:
        """A disk as large as the body."""
        length = transfer.exchange.head.content_length
        if transfer.image_format != "raw" or length is None:
            await transfer.exchange.bare_status(400, "HTTP/1.0")
            raise ocaml_failure("A new VDI needs format=raw and a Content-Length")
        sr = found(self._pool, "SR", transfer.query["sr_id"])
        call = Call(self._pool, self._host, None, transfer.session, transfer.task)
        record = {"SR": sr, "name_label": "Imported VDI", "type": "user", "virtual_size": length}
        return await vdi_calls.create(call, record)

    async def _fill(self, transfer: Transfer, ref: str) -> None:
        vdi = self._pool.db.row("VDI", ref)
        await transfer.exchange.begin(
            [
                ("Connection", "close"),
                ("Cache-Control", "no-cache, no-store"),
                ("task-id", transfer.task),
                ("content-type", "application/octet-stream"),
            ]
        )
        if vdi["type"] == "cbt_metadata":
            await transfer.exchange.late_bare_status(400)
            raise XapiFailure("VDI_INCOMPATIBLE_TYPE", vdi.ref, vdi_rules.TYPE_NAMES["cbt_metadata"])
        attachments.check_unused(self._pool, vdi)
        disk = await disk_work(self._pool.repository(vdi["SR"]).disk, vdi["uuid"])
        try:
            async with control_domain.plugged(self._pool, self._host.ref, ref, "RW"):
                await self._read_body(transfer, disk)
        except (BadImage, OutOfRange, StorageError) as error:
            await transfer.exchange.late_bare_status(400)
            raise XapiFailure("VDI_IO_ERROR", "Device I/O errors") from error
        finally:
            await self._pool.disks[vdi["SR"]].follow()
        transfer.result = ref

    async def _read_body(self, transfer: Transfer, disk: Disk) -> None:
        """Write one piece while the next one comes.

        Raises ``BadImage`` for a body that ends before its format or its announced length does.
        """
        length = transfer.exchange.head.content_length
        if length == 0:
            raise BadImage("the body is empty")
        sink = self._sink(transfer, disk)
        came = 0
        writing = asyncio.create_task(asyncio.to_thread(sink.feed, b""))
        try:
            async for piece in received(transfer, length):
                await writing
                if sink.complete:
                    break
                writing = asyncio.create_task(asyncio.to_thread(sink.feed, piece))
                came += len(piece)
                if length is None:  # only the format tells the end, and the client may wait for the task
                    await writing
                    if sink.complete:
                        break
                self._pool.tasks.progress(transfer.task, min(1.0, came / disk.virtual_size))
        finally:
            await asyncio.wait([writing])
        await writing
        await asyncio.to_thread(sink.finish)
        if length is not None and came < length and not sink.complete:
            raise BadImage(f"the body ended after {came} of {length} bytes")

    def _sink(self, transfer: Transfer, disk: Disk) -> DiskImport:
        if transfer.image_format == "qcow2":
            return qcow2.Qcow2Import(disk, self._pool.data_dir)
        if transfer.image_format == "vhd":
            return vhd.VhdImport(disk)
        if "chunked" in transfer.query:
            return chunked.ChunkedImport(disk)
        return raw.RawImport(disk)
