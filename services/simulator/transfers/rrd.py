"""GET /rrd_updates, /host_rrd, /vm_rrd, /sr_rrd (xapi: ocaml/xapi/rrdd_proxy.ml,
ocaml/xcp-rrdd/bin/rrdd/rrdd_http_handler.ml).

Updates are rows of consolidated figures, the newest first; the others are whole databases. A host knows the
figures of itself and of the VMs that run on it; those of VMs that stopped are kept by the coordinator.
"""

import asyncio
from urllib.parse import urlencode

from services.simulator.database.row import Row
from services.simulator.http.exchange import Exchange
from services.simulator.http.request import BadRequest
from services.simulator.model.releases import FIRST_BY_YEAR
from services.simulator.pool import metrics
from services.simulator.pool.host import Host
from services.simulator.pool.metrics import Owner
from services.simulator.pool.pool import Pool
from services.simulator.transfers import rrd_documents as documents
from services.simulator.transfers.access import Transfer, admitted
from services.simulator.transfers.round_robin import FUNCTIONS, updates
from services.simulator.wire.datetimes import EPOCH

_UNARCHIVE = "rrd_unarchive"
_HEAD = [("Connection", "close"), ("Cache-Control", "no-cache, no-store")]
_FOR_BROWSERS = ("Access-Control-Allow-Origin", "*")


class Figures:
    """A host's four handlers."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def updates(self, exchange: Exchange) -> None:
        async with admitted(self._pool, self._host, exchange, "rrd_updates", "RRD updates") as transfer:
            query = transfer.query
            if "start" not in query:
                await exchange.bare_status(400)
                return
            function = query.get("cf", "").upper()
            found = updates(
                self._owners(query),
                _whole_number(query["start"]),
                self._now(),
                _whole_number(query.get("interval", ""), 0),
                function if function in FUNCTIONS else None,
            )
            if "json" not in query:
                await exchange.reply(documents.updates_xml(found).encode(), "text/xml")
            elif self._pool.model.release < FIRST_BY_YEAR:
                await exchange.reply(documents.updates_javascript(found).encode(), None)
            else:
                await exchange.reply(documents.updates_json(found).encode(), None)

    async def of_host(self, exchange: Exchange) -> None:
        async with admitted(self._pool, self._host, exchange, "host_rrd", "RRD") as transfer:
            row = self._pool.db.row("host", self._host.ref)
            await self._send(transfer, metrics.of_host(self._pool, row), for_browsers=True)

    async def of_vm(self, exchange: Exchange) -> None:
        async with admitted(self._pool, self._host, exchange, "vm_rrd", "RRD") as transfer:
            vm = self._pool.db.tables["VM"].by_uuid(transfer.query.get("uuid", ""))
            if vm is None:
                raise BadRequest(500, "Not_found")
            if vm["resident_on"] == self._host.ref:
                await self._send(transfer, metrics.of_vm(self._pool, vm))
            elif _UNARCHIVE in transfer.query:
                await self._send(transfer, self._archived(vm), for_browsers=True)
            else:
                await self._send_away(transfer, vm["resident_on"])

    async def of_sr(self, exchange: Exchange) -> None:
        async with admitted(self._pool, self._host, exchange, "sr_rrd", "RRD") as transfer:
            if "uuid" not in transfer.query:
                await exchange.bare_status(400)
                return
            sr = self._pool.db.tables["SR"].by_uuid(transfer.query["uuid"])
            if sr is None or not self._has(sr):
                raise BadRequest(500, 'Failure("No SR RRD available!")')
            await self._send(transfer, metrics.of_sr(self._pool, sr))

    async def _send(self, transfer: Transfer, owner: Owner, *, for_browsers: bool = False) -> None:
        write = documents.database_json if "json" in transfer.query else documents.database_xml
        text = await asyncio.to_thread(write, owner, self._now())
        await transfer.exchange.begin([*_HEAD, *([_FOR_BROWSERS] if for_browsers else [])], "HTTP/1.0")
        transfer.exchange.writer.write(text.encode())
        await transfer.exchange.writer.drain()

    async def _send_away(self, transfer: Transfer, owner: str) -> None:
        """To the host that the VM runs on, or to the coordinator for what was kept of it."""
        host, query = self._pool.hosts.get(owner), transfer.query
        if host is None:
            host, query = self._pool.coordinator, {_UNARCHIVE: "", **query}
        port = "" if host.https_port == 443 else f":{host.https_port}"
        target = f"{transfer.exchange.head.path}?{urlencode(query, safe=':')}"
        transfer.handed_over = True
        await transfer.exchange.redirect(f"https://{host.address}{port}{target}")

    def _archived(self, vm: Row) -> Owner:
        """Raises ``BadRequest``: nothing was kept, because the VM never ran, or runs elsewhere."""
        started = self._pool.db.find("VM_metrics", vm["metrics"])
        if self._host is not self._pool.coordinator or started is None or started["install_time"] == EPOCH:
            raise BadRequest(
                500, f'Unix.Unix_error(Unix.ENOENT, "open", "/var/lib/xcp/blobs/rrds/{vm["uuid"]}")'
            )
        return metrics.archived(self._pool, vm)

    def _owners(self, query: dict[str, str]) -> list[Owner]:
        """All VMs and no SRs, unless the query names one, ``all`` or ``none``."""
        pool, db = self._pool, self._pool.db
        host = db.row("host", self._host.ref)
        vm_uuid, sr_uuid = query.get("vm_uuid", query.get("uuid", "all")), query.get("sr_uuid", "none")
        vms = [db.row("VM", vm) for vm in host["resident_VMs"]]
        srs = [db.row("SR", db.row("PBD", pbd)["SR"]) for pbd in host["PBDs"]]
        owners = [metrics.of_host(pool, host)] if query.get("host") == "true" else []
        owners += [metrics.of_vm(pool, vm) for vm in vms if vm_uuid in ("all", vm["uuid"])]
        return owners + [metrics.of_sr(pool, sr) for sr in srs if sr_uuid in ("all", sr["uuid"])]

    def _has(self, sr: Row) -> bool:
        return any(self._pool.db.row("PBD", pbd)["host"] == self._host.ref for pbd in sr["PBDs"])

    def _now(self) -> int:
        return int(self._pool.clock.now().timestamp())


def _whole_number(text: str, default: int | None = None) -> int:
    """Raises ``BadRequest`` for text that is none, unless there is a ``default``."""
    try:
        return int(text)
    except ValueError:
        if default is None:
            raise BadRequest(500, 'Failure("Int64.of_string")') from None
        return default
