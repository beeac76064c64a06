"""A decorator of `Sinks` that counts what becomes of attempts."""

from prometheus_client import Counter

from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.metrics import REGISTRY
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, Receipt
from services.notifier.ports import Sink, Sinks

ATTEMPTS = Counter(
    "xenkeep_notifier_attempts_total",
    "Attempts to deliver, by kind of channel and by what the peer did: took, refused, unavailable.",
    ("kind", "outcome"),
    registry=REGISTRY,
)


class CountedSinks:
    """Counts, and passes everything on as it is."""

    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks

    def of(self, channel: Channel) -> Sink:
        return _CountedSink(self._sinks.of(channel), type(channel.settings).__name__.lower())


class _CountedSink:
    def __init__(self, sink: Sink, kind: str) -> None:
        self._sink = sink
        self._kind = kind

    async def deliver(self, delivery: Delivery) -> Receipt:
        try:
            receipt = await self._sink.deliver(delivery)
        except FailedPrecondition:
            self._count("refused")
            raise
        except Unavailable:
            self._count("unavailable")
            raise
        self._count("took")
        return receipt

    def _count(self, outcome: str) -> None:
        ATTEMPTS.labels(self._kind, outcome).inc()
