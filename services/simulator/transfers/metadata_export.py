"""GET /export_metadata (xapi: ocaml/xapi/export.ml ``metadata_handler``)."""

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure, handle_invalid, internal_error
from services.simulator.http.exchange import Exchange
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.transfers import ova, tar
from services.simulator.transfers.access import Transfer, admitted
from services.simulator.transfers.stream import send


class MetadataExport:
    """What a VM is, without its disks: a tar with ``ova.xml`` alone. The VM may run."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        async with admitted(
            self._pool, self._host, exchange, "get_export_metadata", "Export of VM metadata"
        ) as transfer:
            vms = self._vms(transfer)
            document = ova.write(self._pool, vms, self._scope(transfer))
            body = tar.header("ova.xml", len(document.text)) + tar.padded(document.text) + tar.END
            version = ".".join(self._pool.model.version.split(".")[:2])
            await exchange.begin(
                [
                    ("Connection", "close"),
                    ("Cache-Control", "no-cache, no-store"),
                    ("task-id", transfer.task),
                    ("Server", f"xapi/{version}"),
                    ("content-type", "application/octet-stream"),
                    ("Content-Length", str(len(body))),
                    ("Content-Disposition", 'attachment; filename="export.xva"'),
                ],
                version="HTTP/1.0",
            )
            await send(transfer, body)

    def _scope(self, transfer: Transfer) -> ova.Scope:
        """Releases before 24.13 do not know ``excluded_device_types`` (recorded)."""
        asked = transfer.query.get("excluded_device_types", "") if self._pool.model.excludes_devices else ""
        return ova.Scope(
            snapshots=transfer.asks("export_snapshots", default=True),
            power_state=True,
            disk_parents=transfer.asks("include_vhd_parents"),
            without=frozenset(name.upper() for name in asked.split(",") if name),
        )

    def _vms(self, transfer: Transfer) -> list[Row]:
        """Raises ``HANDLE_INVALID``, ``UUID_INVALID``, ``OPERATION_NOT_ALLOWED``."""
        db = self._pool.db
        if transfer.asks("all"):
            dom0 = transfer.asks("include_dom0", default=True)
            rows = [vm for vm in db.rows("VM") if not vm["is_a_snapshot"] and not vm["is_default_template"]]
            return [vm for vm in rows if dom0 or not vm["is_control_domain"]]
        if "uuid" in transfer.query:
            vm = db.by_uuid("VM", transfer.query["uuid"])
        elif "ref" in transfer.query:
            found = db.find("VM", transfer.query["ref"])
            if found is None:
                raise handle_invalid("VM", transfer.query["ref"])
            vm = found
        else:
            raise internal_error("Not_found")
        if vm["is_a_snapshot"]:
            raise XapiFailure("OPERATION_NOT_ALLOWED", "Exporting metadata of a snapshot is not allowed")
        return [vm]
