"""GET /rrd_updates, /host_rrd, /vm_rrd, /sr_rrd (xapi: ocaml/xcp-rrdd/bin/rrdd/rrdd_http_handler.ml).

Updates are rows of consolidated figures, the newest first; the others are whole databases as RRDtool's XML.
"""

import json
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from services.simulator.http.exchange import Exchange
from services.simulator.http.request import BadRequest
from services.simulator.pool import metrics
from services.simulator.pool.host import Host
from services.simulator.pool.metrics import ARCHIVES, STEP_S, Owner
from services.simulator.pool.pool import Pool
from services.simulator.transfers.access import admitted

FUNCTIONS = ("AVERAGE", "MIN", "MAX")
Answer = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True)
class Rows:
    """Moments of the rows, in seconds, the newest first, and how many seconds each stands for."""

    step: int
    moments: list[int]

    @classmethod
    def since(cls, start: int, now: int, interval: int) -> "Rows":
        """In the finest archive that has not less than ``interval`` and reaches back to ``start``."""
        chosen = next(
            (
                (steps * STEP_S, kept)
                for steps, kept in ARCHIVES
                if steps * STEP_S >= interval and now - steps * STEP_S * kept <= start
            ),
            (ARCHIVES[-1][0] * STEP_S, ARCHIVES[-1][1]),
        )
        step, kept = chosen
        newest = now // step * step
        moments = [newest - number * step for number in range(kept)]
        return cls(step, [moment for moment in moments if moment > start])


class Figures:
    """The handlers of one host, which tells of itself and of what runs on it."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def updates(self, exchange: Exchange) -> None:
        async with admitted(self._pool, self._host, exchange, "rrd_updates", "RRD updates") as transfer:
            query = transfer.query
            functions = [query["cf"].upper()] if "cf" in query else list(FUNCTIONS)
            rows = Rows.since(_number(query, "start"), self._now(), _number(query, "interval", 0))
            owners = self._owners(query, with_host=transfer.asks("host"))
            columns = [(function, owner) for owner in owners for function in functions]
            legend = [
                f"{function}:{owner.kind}:{owner.uuid}:{metric.name}"
                for function, owner in columns
                for metric in owner.metrics
            ]
            values = [metric.value for _, owner in columns for metric in owner.metrics]
            data = [(moment, [value(moment) for value in values]) for moment in rows.moments]
            if transfer.asks("json"):
                await exchange.reply(_as_json(rows, legend, data).encode(), "application/json")
            else:
                await exchange.reply(_as_xml(rows, legend, data).encode(), "text/xml")

    async def of_host(self, exchange: Exchange) -> None:
        row = self._pool.db.row("host", self._host.ref)
        await self._database(exchange, "host_rrd", lambda query: metrics.of_host(self._pool, row))

    async def of_vm(self, exchange: Exchange) -> None:
        def owner(query: dict[str, str]) -> Owner:
            vm = self._pool.db.tables["VM"].by_uuid(query.get("uuid", ""))
            if vm is None:
                raise BadRequest(500, "Not_found")
            return metrics.of_vm(self._pool, vm)

        await self._database(exchange, "vm_rrd", owner)

    async def of_sr(self, exchange: Exchange) -> None:
        def owner(query: dict[str, str]) -> Owner:
            sr = self._pool.db.tables["SR"].by_uuid(query.get("uuid", ""))
            if sr is None:
                raise BadRequest(404)
            return metrics.of_sr(self._pool, sr)

        await self._database(exchange, "sr_rrd", owner)

    async def _database(
        self, exchange: Exchange, name: str, owner: Callable[[dict[str, str]], Owner]
    ) -> None:
        async with admitted(self._pool, self._host, exchange, name, "RRD") as transfer:
            text = "".join(_database_xml(owner(transfer.query), self._now()))
            await exchange.reply(text.encode(), "text/xml")

    def _owners(self, query: dict[str, str], *, with_host: bool) -> list[Owner]:
        """All VMs and no SRs, unless the query names one, ``all`` or ``none``."""
        pool, db = self._pool, self._pool.db
        host = db.row("host", self._host.ref)
        vm_uuid, sr_uuid = query.get("vm_uuid", query.get("uuid", "all")), query.get("sr_uuid", "none")
        vms = [db.row("VM", vm) for vm in host["resident_VMs"]]
        srs = [db.row("SR", db.row("PBD", pbd)["SR"]) for pbd in host["PBDs"]]
        owners = [metrics.of_vm(pool, vm) for vm in vms if vm_uuid in ("all", vm["uuid"])]
        owners += [metrics.of_sr(pool, sr) for sr in srs if sr_uuid in ("all", sr["uuid"])]
        return [*owners, metrics.of_host(pool, host)] if with_host else owners

    def _now(self) -> int:
        return int(self._pool.clock.now().timestamp())


def _number(query: dict[str, str], name: str, default: int | None = None) -> int:
    try:
        return int(query[name])
    except (KeyError, ValueError):
        if default is None or name in query:
            raise BadRequest(400) from None
        return default


def _as_json(rows: Rows, legend: list[str], data: list[tuple[int, list[float]]]) -> str:
    meta = _meta(rows) | {"columns": len(legend), "legend": legend}
    return json.dumps({"meta": meta, "data": [{"t": moment, "values": values} for moment, values in data]})


def _meta(rows: Rows) -> dict[str, object]:
    newest = rows.moments[0] if rows.moments else 0
    oldest = rows.moments[-1] if rows.moments else 0
    return {"start": oldest, "step": rows.step, "end": newest, "rows": len(rows.moments)}


def _as_xml(rows: Rows, legend: list[str], data: list[tuple[int, list[float]]]) -> str:
    meta = "".join(f"<{name}>{value}</{name}>" for name, value in _meta(rows).items())
    entries = "".join(f"<entry>{name}</entry>" for name in legend)
    lines = "".join(
        f"<row><t>{moment}</t>{''.join(f'<v>{value:.4f}</v>' for value in values)}</row>"
        for moment, values in data
    )
    return (
        f"<xport><meta>{meta}<columns>{len(legend)}</columns><legend>{entries}</legend></meta>"
        f"<data>{lines}</data></xport>"
    )


def _database_xml(owner: Owner, now: int) -> Iterator[str]:
    yield f"<rrd><version>0003</version><step>{STEP_S}</step><lastupdate>{now}</lastupdate>"
    for metric in owner.metrics:
        top = "Infinity" if math.isinf(metric.top) else f"{metric.top:.4f}"
        yield (
            f"<ds><name>{metric.name}</name><type>GAUGE</type><minimal_heartbeat>300.0000</minimal_heartbeat>"
            f"<min>0.0</min><max>{top}</max><last_ds>{metric.value(now):.4f}</last_ds><value>0.0</value>"
            "<unknown_sec>0</unknown_sec></ds>"
        )
    for steps, kept in ARCHIVES:
        for function in FUNCTIONS:
            yield f"<rra><cf>{function}</cf><pdp_per_row>{steps}</pdp_per_row>"
            yield "<params><xff>0.5000</xff></params><cdp_prep>"
            yield from (
                "<ds><primary_value>0.0</primary_value><secondary_value>0.0</secondary_value><value>0.0</value>"
                "<unknown_datapoints>0</unknown_datapoints></ds>"
                for _ in owner.metrics
            )
            yield "</cdp_prep><database>"
            newest = now // (steps * STEP_S) * steps * STEP_S
            for number in reversed(range(kept)):
                moment = newest - number * steps * STEP_S
                values = (metric.value(moment) for metric in owner.metrics)
                yield f"<row>{''.join(f'<v>{value:.4f}</v>' for value in values)}</row>"
            yield "</database></rra>"
    yield "</rrd>"
