"""Figures of hosts, VMs and SRs over time, under the names of xapi's daemon and its plug-ins (xapi:
ocaml/xcp-rrdd/bin/rrdd/xcp_rrdd.ml, bin/rrdp-iostat, bin/rrdp-squeezed; ocaml/xapi/xapi_stats.ml).

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
_PERIOD_S = 600
_PREFIX = 8
"""Characters of an SR's uuid in the names of its traffic."""


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
    """``kind`` is ``host``, ``vm`` or ``sr``, as legends call it."""

    kind: str
    uuid: str
    metrics: list[Metric]


def of_vm(pool: Pool, vm: Row) -> Owner:
    """A VM that does not run has none."""
    return Owner("vm", vm["uuid"], [] if vm["resident_on"] == NULL_REF else _of_domain(pool, vm))


def archived(pool: Pool, vm: Row) -> Owner:
    """What was kept of a VM when it stopped."""
    return Owner("vm", vm["uuid"], _of_domain(pool, vm))


def _of_domain(pool: Pool, vm: Row) -> list[Metric]:
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
        described = "Memory used as reported by the guest agent"
        found.append(_wave("memory_internal_free", described, "KiB", seed, memory / 2048))
    for vbd in (pool.db.row("VBD", ref) for ref in vm["VBDs"]):
        if vbd["device"] and not vbd["empty"]:
            found += _disk_traffic(f"vbd_{vbd['device']}_", "", f"device {vbd['device']}", seed)
    for vif in (pool.db.row("VIF", ref) for ref in vm["VIFs"]):
        found += _traffic(
            f"vif_{vif['device']}", f"virtual interface number '{vif['device']}'", "transmitted", seed
        )
    return found


def of_host(pool: Pool, host: Row) -> Owner:
    seed = host["uuid"]
    cpus = int(host["cpu_info"].get("cpu_count", "1"))
    found = [
        _wave(
            f"cpu{number}", f"Physical cpu usage for cpu {number}", "(fraction)", f"{seed}{number}", 0.6, 1.0
        )
        for number in range(cpus)
    ]
    found += [
        _wave("cpu_avg", "Average physical cpu usage", "(fraction)", seed, 0.6, 1.0),
        _wave("loadavg", "Domain0 loadavg", "(fraction)", f"{seed}load", 2.0),
        *_memory(pool, host),
        *_toolstack(pool, host),
    ]
    for pif in (pool.db.row("PIF", ref) for ref in host["PIFs"]):
        if pif["physical"]:
            found += _traffic(f"pif_{pif['device']}", f"physical interface {pif['device']}", "sent", seed)
    found += _traffic("pif_aggr", "all physical interfaces", "sent", seed)
    for pbd in (pool.db.row("PBD", ref) for ref in host["PBDs"]):
        sr = pool.db.row("SR", pbd["SR"])
        if pbd["currently_attached"] and sr["content_type"] != "iso":
            found += _disk_traffic("", f"_{sr['uuid'][:_PREFIX]}", f"SR {sr['uuid']}", seed)
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


def _memory(pool: Pool, host: Row) -> list[Metric]:
    total = pool.db.row("host_metrics", host["metrics"])["memory_total"]
    used = host["memory_overhead"] + sum(
        pool.db.row("VM", vm)["memory_static_max"] for vm in host["resident_VMs"]
    )
    free = max(0, total - used) / _KIB
    return [
        Metric("memory_total_kib", "Total amount of memory in the host", "KiB", lambda _: total / _KIB),
        Metric("memory_free_kib", "Total amount of free memory", "KiB", lambda _: free),
        Metric("memory_reclaimed", "Host memory reclaimed by squeezing", "B", lambda _: 0.0),
        Metric(
            "memory_reclaimed_max", "Host memory that could be reclaimed by squeezing", "B", lambda _: 0.0
        ),
    ]


def _toolstack(pool: Pool, host: Row) -> list[Metric]:
    """What xapi counts of itself; sessions and tasks are the pool's, as the coordinator knows them."""
    domains = float(len(host["resident_VMs"]))
    found = [
        Metric("running_domains", "The total number of running domains per host", "count", lambda _: domains),
        _wave("xapi_memory_usage_kib", "Total memory allocated used by XAPI daemon", "KiB", host.ref, 2e5),
        _wave("xapi_free_memory_kib", "Free memory available to the XAPI daemon", "KiB", host.ref, 1e5),
        _wave("xapi_live_memory_kib", "Live memory used by XAPI daemon", "KiB", host.ref, 1e5),
        _wave("xapi_allocation_kib", "Memory allocation done by the XAPI daemon", "KiB", host.ref, 1e4),
        Metric("xapi_open_fds", "Number of open file descriptors held by xapi", "file descriptors", _few),
    ]
    if host.ref == pool.coordinator.ref:
        tasks, sessions = float(len(pool.db.rows("task"))), float(len(pool.db.rows("session")))
        found += [
            Metric("pool_task_count", "Number of pool tasks", "tasks", lambda _: tasks),
            Metric("pool_session_count", "Number of pool sessions", "sessions", lambda _: sessions),
        ]
    return found


def _few(_: float) -> float:
    return 64.0


def _disk_traffic(before: str, after: str, where: str, seed: str) -> list[Metric]:
    """Of a device of a VM, or of an SR on a host (xapi: bin/rrdp-iostat/rrdp_iostat.ml)."""
    found = []
    for way, verb in (("read", "Reads from"), ("write", "Writes to")):
        name, words = f"{before}{way}{after}", f"{verb} {where}"
        found += [
            _wave(name, f"{words}, in B/s", "B/s", seed + name, 4e6),
            _wave(f"{before}{way}_latency{after}", f"{words}, in microseconds", "μs", f"{seed}{name}l", 1e3),
        ]
    for kind, units, height in (("io_throughput", "MiB/s", 4.0), ("iops", "requests/s", 500.0)):
        ways = [
            _wave(
                f"{before}{kind}_{way}{after}",
                f"{way.title()}s, {where}",
                units,
                f"{seed}{kind}{way}",
                height,
            )
            for way in ("read", "write")
        ]
        found += [*ways, _sum(f"{before}{kind}_total{after}", f"All I/O, {where}", units, ways)]
    found += [
        _wave(f"{before}iowait{after}", f"Total I/O wait time, {where}", "s/s", f"{seed}{where}w", 0.2),
        Metric(
            f"{before}inflight{after}",
            f"I/O requests currently in flight, {where}",
            "requests",
            lambda _: 0.0,
        ),
    ]
    return found


def _sum(name: str, description: str, units: str, parts: list[Metric]) -> Metric:
    return Metric(name, description, units, lambda moment: sum(part.value(moment) for part in parts))


def _traffic(device: str, where: str, out: str, seed: str) -> list[Metric]:
    return [
        _wave(f"{device}_{way}", f"Bytes per second {verb} on {where}", "B/s", f"{seed}{device}{way}", 2e6)
        for way, verb in (("rx", "received"), ("tx", out))
    ]


def _wave(name: str, description: str, units: str, seed: str, height: float, top: float = math.inf) -> Metric:
    phase = zlib.crc32(seed.encode()) % _PERIOD_S

    def value(moment: float) -> float:
        return height * (1 + math.sin(2 * math.pi * (moment + phase) / _PERIOD_S)) / 2

    return Metric(name, description, units, value, top)


def _has_tools(pool: Pool, vm: Row) -> bool:
    metrics = pool.db.find("VM_guest_metrics", vm["guest_metrics"])
    return metrics is not None and bool(metrics["PV_drivers_detected"])
