"""Figures of hosts and VMs over time (xapi: ocaml/xcp-rrdd).

They are made up: functions of name, owner and moment, so the same whenever asked for; nothing is stored.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool.pool import Pool

_KIB = 1024
ARCHIVES = ((1, 120), (12, 120), (720, 168), (17280, 366))
"""Steps of 5 s in one row, and rows kept: ten minutes, two hours, a week, a year."""
STEP_S = 5
_PERIOD_S = 600


@dataclass(frozen=True)
class Metric:
    """``value`` is a function of the moment in seconds since the epoch."""

    name: str
    description: str
    units: str
    value: Callable[[float], float]
    top: float = math.inf


@dataclass(frozen=True)
class Owner:
    """``kind`` is ``host`` or ``vm``, as legends call it."""

    kind: str
    uuid: str
    metrics: list[Metric]


def of_vm(pool: Pool, vm: Row) -> Owner:
    """A VM that does not run has none."""
    if vm["resident_on"] == NULL_REF:
        return Owner("vm", vm["uuid"], [])
    seed = vm["uuid"]
    found = [
        _wave(f"cpu{number}", f"CPU{number} usage", "(fraction)", f"{seed}{number}", 1.0, 1.0)
        for number in range(vm["VCPUs_at_startup"])
    ]
    memory = float(vm["memory_static_max"])
    found += [
        Metric("memory", "Memory currently allocated to VM", "B", lambda _: memory),
        Metric("memory_target", "Target of VM balloon driver", "B", lambda _: memory),
    ]
    if _has_tools(pool, vm):
        found.append(
            _wave(
                "memory_internal_free",
                "Free memory as reported by the guest agent",
                "KiB",
                seed,
                memory / 2048,
            )
        )
    for vbd in (pool.db.row("VBD", ref) for ref in vm["VBDs"]):
        if vbd["currently_attached"] and vbd["device"]:
            for way in ("read", "write"):
                name = f"vbd_{vbd['device']}_{way}"
                found.append(
                    _wave(name, f"{way.title()}s of device {vbd['device']}", "B/s", seed + name, 4e6)
                )
    for vif in (pool.db.row("VIF", ref) for ref in vm["VIFs"]):
        if vif["currently_attached"]:
            found += _traffic(f"vif_{vif['device']}", seed)
    return Owner("vm", seed, found)


def of_host(pool: Pool, host: Row) -> Owner:
    seed = host["uuid"]
    cpus = int(host["cpu_info"].get("cpu_count", "1"))
    total = pool.db.row("host_metrics", host["metrics"])["memory_total"]
    used = host["memory_overhead"] + sum(
        pool.db.row("VM", vm)["memory_static_max"] for vm in host["resident_VMs"]
    )
    found = [
        _wave(
            f"cpu{number}", f"Physical cpu usage for cpu {number}", "(fraction)", f"{seed}{number}", 0.6, 1.0
        )
        for number in range(cpus)
    ]
    found += [
        _wave("cpu_avg", "Average physical cpu usage", "(fraction)", seed, 0.6, 1.0),
        _wave("loadavg", "Domain0 loadavg", "(fraction)", seed + "load", 2.0),
        Metric("memory_total_kib", "Total amount of memory in use", "KiB", lambda _: total / _KIB),
        Metric(
            "memory_free_kib", "Total amount of free memory", "KiB", lambda _: max(0, total - used) / _KIB
        ),
    ]
    for pif in (pool.db.row("PIF", ref) for ref in host["PIFs"]):
        if pif["physical"]:
            found += _traffic(f"pif_{pif['device']}", seed)
    return Owner("host", seed, found)


def of_sr(pool: Pool, sr: Row) -> Owner:
    size, used = float(sr["physical_size"]), float(sr["physical_utilisation"])
    return Owner(
        "sr",
        sr["uuid"],
        [
            Metric("size", "Size of storage repository", "B", lambda _: size),
            Metric("physical_utilisation", "Physical utilisation of storage repository", "B", lambda _: used),
        ],
    )


def named(owner: Owner, name: str) -> Metric:
    """Raises ``INTERNAL_ERROR`` in the words of the daemon."""
    for metric in owner.metrics:
        if metric.name == name:
            return metric
    raise XapiFailure("INTERNAL_ERROR", f'Rrd.Invalid_data_source("{name}")')


def _traffic(device: str, seed: str) -> list[Metric]:
    return [
        _wave(f"{device}_{way}", f"Bytes per second {verb} on {device}", "B/s", f"{seed}{device}{way}", 2e6)
        for way, verb in (("rx", "received"), ("tx", "transmitted"))
    ]


def _wave(name: str, description: str, units: str, seed: str, height: float, top: float = math.inf) -> Metric:
    phase = zlib.crc32(seed.encode()) % _PERIOD_S

    def value(moment: float) -> float:
        return height * (1 + math.sin(2 * math.pi * (moment + phase) / _PERIOD_S)) / 2

    return Metric(name, description, units, value, top)


def _has_tools(pool: Pool, vm: Row) -> bool:
    metrics = pool.db.find("VM_guest_metrics", vm["guest_metrics"])
    return metrics is not None and bool(metrics["PV_drivers_detected"])
