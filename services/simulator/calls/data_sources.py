"""What is measured of a VM, host or SR, and its value now (xapi: ocaml/xapi/rrdd_proxy.ml)."""

from typing import Any

from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.pool import metrics

_OWNERS = {"VM": metrics.of_vm, "host": metrics.of_host, "SR": metrics.of_sr}


def lister(cls: str) -> CallFunction:
    """``get_data_sources`` of a class."""

    async def get_data_sources(call: Call, ref: str) -> list[dict[str, Any]]:
        now = call.pool.clock.now().timestamp()
        return [
            {
                "name_label": metric.name,
                "name_description": metric.description,
                "enabled": True,
                "standard": True,
                "units": metric.units,
                "min": 0.0,
                "max": metric.top,
                "value": metric.value(now),
            }
            for metric in _owner(call, cls, ref).metrics
        ]

    return get_data_sources


def asker(cls: str) -> CallFunction:
    """``query_data_source`` of a class. Raises ``INTERNAL_ERROR`` for a name that is none."""

    async def query_data_source(call: Call, ref: str, name: str) -> float:
        metric = metrics.named(_owner(call, cls, ref), name)
        return metric.value(call.pool.clock.now().timestamp())

    return query_data_source


def keeper(cls: str) -> CallFunction:
    """``record_data_source`` and ``forget_data_source_archives``: all are recorded always."""

    async def keep(call: Call, ref: str, name: str) -> None:
        metrics.named(_owner(call, cls, ref), name)

    return keep


def _owner(call: Call, cls: str, ref: str) -> metrics.Owner:
    return _OWNERS[cls](call.pool, call.db.row(cls, ref))
