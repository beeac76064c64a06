"""GET /export_raw_vdi (xapi: ocaml/xapi/export_raw_vdi.ml)."""

from collections.abc import Iterator

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure, ocaml_failure
from services.simulator.http.exchange import Exchange
from services.simulator.pool import control_domain, placement, vdi_rules
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.storage.codecs import qcow2, raw, tar, vhd
from services.simulator.storage.ports import LARGEST, Disk, StorageRepository
from services.simulator.transfers.access import Transfer, admitted, found
from services.simulator.transfers.stream import in_thread, send

CONTENT_TYPES = {
    "raw": "application/octet-stream",
    "vhd": "application/vhd",
    "tar": "application/x-tar",
    "qcow2": "application/x-qemu-disk",
}


class RawExport:
    """A disk as a raw image, a tar, a VHD, or a QCOW2 where the release has it, whole or as differences to a
    base; its length is not announced. What is wrong with the disk or the base is found out after the ``200``.
    """

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        async with admitted(
            self._pool, self._host, exchange, "get_export_raw_vdi", "Raw VDI export"
        ) as transfer:
            vdi = self._pool.db.row("VDI", found(self._pool, "VDI", transfer.query.get("vdi")))
            if not placement.sees(self._pool, self._host.ref, vdi["SR"]):
                await redirect(transfer, vdi["SR"])
                return
            kind = transfer.image_format
            if kind not in CONTENT_TYPES or (kind == "qcow2" and not self._pool.model.has_qcow2):
                await exchange.bare_status(404, "HTTP/1.0")
                raise ocaml_failure(f"Unknown format {kind}")
            await self._send(transfer, vdi, kind)

    async def _send(self, transfer: Transfer, vdi: Row, kind: str) -> None:
        await transfer.exchange.begin(
            [
                ("Connection", "close"),
                ("Cache-Control", "no-cache, no-store"),
                ("task-id", transfer.task),
                ("content-type", CONTENT_TYPES[kind]),
                ("content-disposition", f'attachment; filename="{vdi["uuid"]}.{kind}"'),
            ]
        )
        if vdi["type"] == "cbt_metadata":
            raise XapiFailure("VDI_INCOMPATIBLE_TYPE", vdi.ref, vdi_rules.TYPE_NAMES["cbt_metadata"])
        if kind == "vhd" and vdi["virtual_size"] > LARGEST["vhd"]:
            raise XapiFailure("VDI_TOO_LARGE", vdi.ref, str(LARGEST["vhd"]))
        repository = self._pool.repository(vdi["SR"])
        disk = await disk_work(repository.disk, vdi["uuid"])
        base = transfer.query.get("base")
        base_uuid = self._pool.db.row("VDI", found(self._pool, "VDI", base))["uuid"] if base else None
        if base_uuid is not None:
            await disk_work(_assert_comparable, repository, vdi["uuid"], base_uuid, kind)
        sent = 0
        async with control_domain.plugged(self._pool, self._host.ref, vdi.ref, "RO"):
            async for piece in in_thread(self._pieces(disk, kind, base_uuid)):
                await send(transfer, piece)
                sent += len(piece)
                self._pool.tasks.progress(transfer.task, min(1.0, sent / disk.virtual_size))
                self._pool.tasks.check(transfer.task)

    def _pieces(self, disk: Disk, kind: str, base: str | None) -> Iterator[bytes | bytearray]:
        if kind == "raw":
            if base is not None:
                raise XapiFailure("INTERNAL_ERROR", "base is for differencing formats only")
            return raw.export(disk)
        if kind == "tar":
            return tar.export(disk, tar.xxhash64 if self._pool.model.has_xxhash else tar.sha1)
        return qcow2.export(disk, base) if kind == "qcow2" else vhd.export(disk, base, uuid=disk.uuid)


def _assert_comparable(repository: StorageRepository, uuid: str, base: str, kind: str) -> None:
    """Both images have one format, a VHD of differences needs VHDs. Raises ``VDI_IO_ERROR``."""
    formats = {repository.node(each).image_format for each in (uuid, base)}
    if len(formats) > 1 or (kind == "vhd" and formats != {"vhd"}):
        raise XapiFailure("VDI_IO_ERROR", "Device I/O errors")


async def redirect(transfer: Transfer, sr: str) -> None:
    """Send the client to a host that sees the SR. Raises ``SR_HAS_NO_PBDS``.

    A XenServer always listens on 443, so a port is named only if it is another.
    """
    for host in transfer.pool.hosts.values():
        if transfer.pool.hears(host) and placement.sees(transfer.pool, host.ref, sr):
            port = "" if host.https_port == 443 else f":{host.https_port}"
            transfer.handed_over = True
            await transfer.exchange.redirect(f"https://{host.address}{port}{transfer.exchange.head.target}")
            return
    raise XapiFailure("SR_HAS_NO_PBDS", sr)
