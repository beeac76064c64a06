"""Figures as XML and JSON (xapi: ocaml/libs/xapi-rrd/lib/rrd.ml, rrd_updates.ml, rrd_utils.ml ``f_to_s``).

In JSON every number is text. Releases that have names (up to 8.2) put updates together by hand instead: keys
without quotes and bare numbers, which is JavaScript and no JSON (xapi-project/xcp-rrd: lib/rrd_updates.ml
``json_of_t``).
"""

import json
import math
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from services.simulator.pool.metrics import Metric, Owner
from services.simulator.transfers.round_robin import ARCHIVES, STEP_S, Archive, Updates, history

_PROLOGUE = '<?xml version="1.0" encoding="UTF-8"?>\n'
_VERSION = "0003"
_HEARTBEAT_S, _UNKNOWN_SHARE = 300.0, 0.5


def number(value: float) -> str:
    """Four digits after the point; zero and what is no number have words of their own."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{value:.4f}" if value else "0.0"


def updates_xml(updates: Updates) -> str:
    meta = "".join(f"<{name}>{value}</{name}>" for name, value in _meta(updates).items())
    entries = "".join(f"<entry>{escape(name)}</entry>" for name in updates.legend)
    rows = "".join(
        f"<row><t>{moment}</t>{''.join(f'<v>{number(value)}</v>' for value in values)}</row>"
        for moment, values in updates.rows
    )
    return f"{_PROLOGUE}<xport><meta>{meta}<legend>{entries}</legend></meta><data>{rows}</data></xport>"


def updates_json(updates: Updates) -> str:
    meta = {name: str(value) for name, value in _meta(updates).items()} | {"legend": updates.legend}
    data = [
        {"t": str(moment), "values": [number(value) for value in values]} for moment, values in updates.rows
    ]
    return _compact({"meta": meta, "data": data})


def updates_javascript(updates: Updates) -> str:
    meta = ",".join(f"{name}:{value}" for name, value in _meta(updates).items())
    legend = ",".join(f'"{name}"' for name in updates.legend)
    data = ",".join(
        f"{{t:{moment},values:[{','.join(number(value) for value in values)}]}}"
        for moment, values in updates.rows
    )
    return f"{{meta: {{{meta},legend:[{legend}]}},data:[{data}]}}"


def _meta(updates: Updates) -> dict[str, int]:
    return {
        "start": updates.start,
        "step": updates.step,
        "end": updates.end,
        "rows": len(updates.rows),
        "columns": len(updates.legend),
    }


def database_xml(owner: Owner, now: int) -> str:
    """Everything that is kept of the owner; it takes a while."""
    return "".join(_database_xml(owner, now))


def _database_xml(owner: Owner, now: int) -> Iterator[str]:
    yield f"{_PROLOGUE}<rrd><version>{_VERSION}</version><step>{STEP_S}</step><lastupdate>{now}</lastupdate>"
    for metric in owner.metrics:
        facts = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in _source(metric, now).items())
        yield f"<ds>{facts}</ds>"
    preparations = "".join(f"<{key}>{value}</{key}>" for key, value in _PREPARATION.items())
    for archive, function in _archives():
        yield f"<rra><cf>{function}</cf><pdp_per_row>{archive.steps}</pdp_per_row>"
        yield f"<params><xff>{number(_UNKNOWN_SHARE)}</xff></params><cdp_prep>"
        yield f"<ds>{preparations}</ds>" * len(owner.metrics)
        yield "</cdp_prep><database>"
        for values in history(owner, archive, now):
            yield f"<row>{''.join(f'<v>{number(value)}</v>' for value in values)}</row>"
        yield "</database></rra>"
    yield "</rrd>"


def database_json(owner: Owner, now: int) -> str:
    """The same."""
    archives = [
        {
            "cf": function,
            "pdp_per_row": str(archive.steps),
            "params": {"xff": number(_UNKNOWN_SHARE)},
            "cdp_prep": {"ds": [_PREPARATION] * len(owner.metrics)},
            "database": [[number(value) for value in row] for row in history(owner, archive, now)],
        }
        for archive, function in _archives()
    ]
    sources = [_source(metric, now) for metric in owner.metrics]
    whole = {"version": _VERSION, "step": str(STEP_S), "lastupdate": number(now), "ds": sources}
    return _compact(whole | {"rra": archives})


_PREPARATION = {
    "primary_value": "0.0",
    "secondary_value": "0.0",
    "value": "0.0",
    "unknown_datapoints": "0",
}


def _source(metric: Metric, now: int) -> dict[str, str]:
    return {
        "name": metric.name,
        "type": "GAUGE",
        "minimal_heartbeat": number(_HEARTBEAT_S),
        "min": "0.0",
        "max": number(metric.top),
        "last_ds": number(metric.value(now)),
        "value": "0.0",
        "unknown_sec": "0",
    }


def _archives() -> Iterator[tuple[Archive, str]]:
    for archive in ARCHIVES:
        for function in archive.functions:
            yield archive, function


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
