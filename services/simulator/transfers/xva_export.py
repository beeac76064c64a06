"""GET /export: a VM with its disks as an XVA (xapi: ocaml/xapi/export.ml)."""

import zlib
from collections.abc import Iterator

import zstandard

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.http.exchange import Exchange
from services.simulator.pool import attachments, control_domain, placement, vm_rules
from services.simulator.pool.host import Host
from services.simulator.pool.operations import vm_operation
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.storage.codecs import tar as disk_tar
from services.simulator.transfers import ova, tar
from services.simulator.transfers.access import Transfer, admitted, found
from services.simulator.transfers.raw_export import redirect
from services.simulator.transfers.stream import in_thread, send


class XvaExport:
    """A tar: ``ova.xml``, then the disks in the order of their ids' text. Its length is not announced."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        async with admitted(self._pool, self._host, exchange, "get_export", "VM.export") as transfer:
            vm = self._vm(transfer)
            if vm is None:
                exchange.final, exchange.keep_open = True, False
                raise XapiFailure("NO_HOSTS_AVAILABLE")
            hidden = self._hidden_sr(vm)
            if hidden is not None:
                await redirect(transfer, hidden)
                return
            vm_rules.check(self._pool.db, vm, "export")
            call = Call(self._pool, self._host, None, transfer.session, transfer.task)
            async with vm_operation(call, vm.ref, "export"):
                await self._send(transfer, vm)

    def _vm(self, transfer: Transfer) -> Row | None:
        """None for an unknown reference; an unknown uuid is a bad request (recorded)."""
        if "uuid" in transfer.query or "ref" not in transfer.query:
            return self._pool.db.row("VM", found(self._pool, "VM", transfer.query.get("uuid")))
        return self._pool.db.find("VM", transfer.query.get("ref", ""))

    def _hidden_sr(self, vm: Row) -> str | None:
        """An SR of the VM's disks that this host does not see."""
        srs = [vdi["SR"] for vbd, vdi in attachments.disks_in_use(self._pool, vm) if vbd["type"] != "CD"]
        return next((sr for sr in srs if not placement.sees(self._pool, self._host.ref, sr)), None)

    async def _send(self, transfer: Transfer, vm: Row) -> None:
        scope = ova.Scope(power_state=transfer.asks("preserve_power_state"))
        document = ova.write(self._pool, [vm], scope)
        version = ".".join(self._pool.model.version.split(".")[:2])
        await transfer.exchange.begin(
            [
                ("Connection", "close"),
                ("Cache-Control", "no-cache, no-store"),
                ("task-id", transfer.task),
                ("Server", f"xapi/{version}"),
                ("content-type", "application/octet-stream"),
                ("Content-Disposition", 'attachment; filename="export.xva"'),
            ],
            version="HTTP/1.0",
        )
        disks = [vdi for vbd, vdi in attachments.disks_in_use(self._pool, vm) if vbd["type"] != "CD"]
        image = self._pool.db.find("VDI", vm["suspend_VDI"])
        if image is not None and image.ref in document.ids:
            disks.append(image)
        disks.sort(key=lambda vdi: document.ids[vdi.ref])
        total = sum(vdi["virtual_size"] for vdi in disks) or 1
        pack = _compressor(transfer.query.get("use_compression", ""))
        await self._pass(transfer, pack.feed(tar.header("ova.xml", len(document.text))))
        await self._pass(transfer, pack.feed(tar.padded(document.text)))
        done = 0
        for vdi in disks:
            await self._send_disk(transfer, vdi, document.ids[vdi.ref], pack)
            done += vdi["virtual_size"]
            self._pool.tasks.progress(transfer.task, done / total)
        await self._pass(transfer, pack.feed(tar.END) + pack.finish())

    async def _send_disk(self, transfer: Transfer, vdi: Row, prefix: str, pack: "Plain") -> None:
        disk = await disk_work(self._pool.repository(vdi["SR"]).disk, vdi["uuid"])
        checksum = disk_tar.xxhash64 if self._pool.model.has_xxhash else disk_tar.sha1
        pieces = disk_tar.members(disk, prefix, checksum)
        members: Iterator[bytes] = (pack.feed(piece) for piece in pieces)
        async with control_domain.plugged(self._pool, self._host.ref, vdi.ref, "RO"):
            async for piece in in_thread(members):
                await self._pass(transfer, piece)
                self._pool.tasks.check(transfer.task)

    @staticmethod
    async def _pass(transfer: Transfer, data: bytes) -> None:
        if data:
            await send(transfer, data)


class Plain:
    """No compression."""

    def feed(self, data: bytes | bytearray) -> bytes:
        return bytes(data)

    def finish(self) -> bytes:
        return b""


class Gzip(Plain):
    """One gzip member."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(level=1, wbits=31)

    def feed(self, data: bytes | bytearray) -> bytes:
        return self._stream.compress(data)

    def finish(self) -> bytes:
        return self._stream.flush()


class Zstd(Plain):
    """One zstd frame."""

    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=1).compressobj()

    def feed(self, data: bytes | bytearray) -> bytes:
        return self._stream.compress(data)

    def finish(self) -> bytes:
        return self._stream.flush()


def _compressor(asked: str) -> Plain:
    """Anything but gzip (``true``) and zstd means none."""
    if asked in ("true", "gzip"):
        return Gzip()
    return Zstd() if asked == "zstd" else Plain()
