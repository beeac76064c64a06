"""The one Prometheus registry of a process. Labels stay few: no run, transfer or caller-chosen text."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

RPC_SERVED = Counter("xenkeep_rpc_served_total", "Calls answered.", ("method", "code"), registry=REGISTRY)
RPC_DURATION = Histogram(
    "xenkeep_rpc_duration_seconds", "Time from call to answer.", ("method",), registry=REGISTRY
)
OUTBOX_WAITING = Gauge(
    "xenkeep_outbox_waiting", "Messages committed and not yet published.", registry=REGISTRY
)
OUTBOX_PUBLISHED = Counter(
    "xenkeep_outbox_published_total", "Messages JetStream has acknowledged.", registry=REGISTRY
)
CONSUMED = Counter(
    "xenkeep_bus_consumed_total",
    "Messages taken from the bus, by what became of them: handled, duplicate, retried, dead.",
    ("consumer", "outcome"),
    registry=REGISTRY,
)
