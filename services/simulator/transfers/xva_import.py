"""PUT /import: VMs with their disks from an XVA (xapi: ocaml/xapi/import.ml)."""

import asyncio
from collections.abc import AsyncIterator

from services.simulator.calls import vdi as vdi_calls
from services.simulator.calls.vm import destroy_record
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.http.exchange import Exchange
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import control_domain, placement
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.storage.codecs.tar import ChunkImport
from services.simulator.storage.errors import BadImage
from services.simulator.transfers import ova
from services.simulator.transfers.access import Transfer, admitted
from services.simulator.transfers.metadata_import import wishes
from services.simulator.transfers.ova import Exported
from services.simulator.transfers.raw_export import redirect
from services.simulator.transfers.restore import Restore, Wishes
from services.simulator.transfers.stream import received
from services.simulator.transfers.xva_reader import XvaReader


class NewDisks:
    """Disks made for an import, by the id of their record. Fulfils ``restore.Disks``."""

    may_make_gpu_groups = True

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def check(self, vdi: Exported, sr: Exported | None) -> None:
        """They are made when everything else is right."""

    def find(self, vdi: Exported, sr: Exported | None) -> str | None:
        return self.made.get(vdi.id)


class XvaImport:
    """``200 OK`` comes before the body is read, which ends where the archive does. What a failed import
    made is destroyed, unless ``force`` is asked; what a dying host was importing stays."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        async with admitted(self._pool, self._host, exchange, "put_import", "VM.import") as transfer:
            if exchange.head.header("transfer-encoding") is not None:
                await exchange.bare_status(403)
                raise XapiFailure("IMPORT_ERROR_CANNOT_HANDLE_CHUNKED")
            sr = self._sr(transfer)
            if not placement.sees(self._pool, self._host.ref, sr):
                await redirect(transfer, sr)
                return
            if self._pool.db.row("SR", sr)["content_type"] == "iso":
                await exchange.bare_status(400)
                raise XapiFailure("SR_OPERATION_NOT_SUPPORTED")
            await exchange.begin(
                [
                    ("Connection", "close"),
                    ("Cache-Control", "no-cache, no-store"),
                    ("task-id", transfer.task),
                    ("content-type", "application/octet-stream"),
                ]
            )
            call = Call(self._pool, self._host, None, transfer.session, transfer.task)
            pieces = received(transfer, None)
            transfer.result = await XvaContents(call, sr, wishes(transfer), pieces).take_in()

    def _sr(self, transfer: Transfer) -> str:
        """Raises ``NO_HOSTS_AVAILABLE`` for an unknown SR, ``DEFAULT_SR_NOT_FOUND`` without one."""
        db = self._pool.db
        given = transfer.query.get("sr_id") or transfer.query.get("sr_uuid")
        sr = given or db.only("pool")["default_SR"]
        row = db.find("SR", sr) or db.tables["SR"].by_uuid(sr)
        if row is None:
            raise XapiFailure(
                "NO_HOSTS_AVAILABLE" if given else "DEFAULT_SR_NOT_FOUND", *([] if given else [sr])
            )
        return row.ref


class XvaContents:
    """What one archive makes, from wherever it comes, and its undoing."""

    def __init__(self, call: Call, sr: str, wanted: Wishes, pieces: AsyncIterator[bytes]) -> None:
        self._call = call
        self._pool = call.pool
        self._sr = sr
        self._wanted = wanted
        self._pieces = pieces
        self._disks = NewDisks()
        self._vms: list[str] = []

    async def take_in(self) -> list[str]:
        """References of the VMs."""
        db, task = self._pool.db, self._call.task
        reader = XvaReader(self._pieces)
        objects = ova.read(await reader.ova(), self._pool.model.version)
        restore = Restore(self._pool, objects, self._disks, self._wanted)
        restore.check()
        try:
            await self._make_disks(objects)
            result = restore.apply()
            self._vms = restore.made_vms
            for vm in self._vms:
                db.set("VM", vm, "current_operations", {task: "import"})
            db.add_to_map("task", task, "other_config", "object_creation", "complete")
            await self._fill_disks(reader)
        except (XapiFailure, ConnectionError, EOFError):
            if not self._wanted.force:
                await self._undo()
            raise
        finally:
            self._release()
        return result

    async def _make_disks(self, objects: dict[str, Exported]) -> None:
        wanted = {
            item.record["VDI"]
            for item in objects.values()
            if item.cls == "VBD" and item.record["type"] != "CD"
        } | {item.id for item in objects.values() if item.cls == "VDI" and item.record["type"] == "suspend"}
        for id_ in sorted(wanted):
            vdi = objects.get(id_)
            if vdi is None or vdi.cls != "VDI":
                continue
            record = {
                "SR": self._sr,
                "virtual_size": int(vdi.record["virtual_size"]),
                **{
                    field: vdi.record[field]
                    for field in ("name_label", "name_description", "type", "other_config")
                },
            }
            self._disks.made[id_] = await vdi_calls.create(self._call, record)

    async def _fill_disks(self, reader: XvaReader) -> None:
        """Chunks of one disk come together, so one disk is plugged at a time."""
        current, sink, vbd = "", None, ""
        seen: set[str] = set()
        try:
            async for chunk in reader.chunks(check=not self._wanted.force):
                if chunk.disk != current:
                    self._unplug(vbd)
                    current, vbd, sink = chunk.disk, *await self._open(chunk.disk)
                    seen.add(current)
                if sink is not None:
                    await asyncio.to_thread(sink.add, chunk.number, chunk.data)
        except BadImage as error:
            raise XapiFailure("IMPORT_ERROR", f"INTERNAL_ERROR: [ {error} ]") from error
        finally:
            self._unplug(vbd)
            await self._pool.disks[self._sr].follow()
        if seen != set(self._disks.made):
            raise XapiFailure("IMPORT_ERROR", "INTERNAL_ERROR: [ Tar.Header.End_of_stream ]")

    async def _open(self, id_: str) -> tuple[str, ChunkImport]:
        ref = self._disks.made.get(id_)
        if ref is None:
            raise XapiFailure("IMPORT_ERROR_UNEXPECTED_FILE", "a disk of ova.xml", id_)
        uuid = self._pool.db.row("VDI", ref)["uuid"]
        disk = await disk_work(self._pool.repository(self._sr).disk, uuid)
        return control_domain.plug(self._pool, self._call.host.ref, ref, "RW"), ChunkImport(disk)

    def _unplug(self, vbd: str) -> None:
        if vbd:
            control_domain.unplug(self._pool, vbd)

    async def _undo(self) -> None:
        for vm in self._vms:
            if self._pool.db.find("VM", vm) is not None:
                destroy_record(self._call, vm)
        self._vms = []
        for vdi in self._disks.made.values():
            if vdi != NULL_REF and self._pool.db.find("VDI", vdi) is not None:
                await vdi_calls.destroy(self._call, vdi)

    def _release(self) -> None:
        for vm in self._vms:
            if self._pool.db.find("VM", vm) is not None:
                self._pool.db.set("VM", vm, "current_operations", {})
