"""What the notifier needs from the world."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from services.chassis.config import Secret
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, Receipt
from services.notifier.domain.notification import Notification


class Sink(Protocol):
    """Hands one delivery to the outside."""

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Return once the peer has taken responsibility, or once everything the protocol allows is done.

        Bounded in time (a minute or so) whatever the peer does. The same delivery is the same message
        each time (same Message-ID). Raises, with the reason PEER_REFUSED, `FailedPrecondition` when the peer
        refused this delivery for good and `Unavailable` when it refused it for now; with any other reason,
        either of them when every delivery of the channel would have failed. No error text contains a
        secret; what the peer said is one short line.
        """
        ...


class Sinks(Protocol):
    """Makes the sink of a channel."""

    def of(self, channel: Channel) -> Sink: ...


class Files(Protocol):
    """The files that channels name: passwords and certificates. Read anew for every delivery."""

    async def password(self, name: str) -> Secret:
        """The first line. Raises `FailedPrecondition` when there is none or it may not be read."""
        ...

    async def certificates(self, name: str) -> str:
        """PEM text; empty, meaning the system's authorities, for an empty name. Raises like `password`."""
        ...


class Look(Protocol):
    """What the notifier remembers, at one moment."""

    async def channels(self) -> Sequence[Channel]:
        """All of them, by name."""
        ...

    async def channel(self, name: str) -> Channel:
        """Raises `NotFound`."""
        ...

    async def due(self, channel: str, now: datetime) -> Sequence[Delivery]:
        """All deliveries that may be tried now: due and not claimed, oldest first, at most 1000."""
        ...

    async def pending(self, channel: str) -> Sequence[Delivery]:
        """All that are neither delivered nor failed."""
        ...

    async def told_since(self, notification: Notification, moment: datetime) -> bool:
        """Whether there is a delivery of its event type and incident that was made at `moment` or later."""
        ...

    async def schedule(self) -> Sequence[tuple[str, datetime]]:
        """Per channel with pending deliveries: when the next of them may be tried, claims considered."""
        ...

    async def page(self, channel: str, size: int, after: str) -> Sequence[Delivery]:
        """Newest first, of `channel` or of all when empty, those behind the delivery `after` if given.

        Raises `InvalidInput` when `after` is not known.
        """
        ...


class Books(Look, Protocol):
    """To change what the notifier remembers, within one transaction."""

    async def add_channel(self, channel: Channel, now: datetime) -> None:
        """Raises `AlreadyExists`."""
        ...

    async def remove_channel(self, name: str) -> None:
        """Raises `NotFound`."""
        ...

    async def add(self, delivery: Delivery) -> None:
        """Adds it, or nothing when the event has a delivery to that recipient of that channel."""
        ...

    async def save(self, delivery: Delivery) -> None:
        """What became of it; ends the claim. One that has ended stays as it ended."""
        ...

    async def claim(self, channel: str, now: datetime, until: datetime) -> Delivery | None:
        """The oldest one that is due, which no other courier gets before `until`; None without any."""
        ...

    async def extend(self, delivery_id: str, until: datetime) -> None:
        """Keep a claim longer; nothing when the delivery has ended."""
        ...

    async def forget(self, finished_before: datetime) -> int:
        """Removes those that ended before; returns how many."""
        ...

    async def announce_failed(self, delivery: Delivery) -> None:
        """Publishes DeliveryFailed with this change."""
        ...


class Store(Protocol):
    """Opens the books."""

    def begin(self) -> AbstractAsyncContextManager[Books]:
        """To change them: kept when the block ends, dropped when it raises. Waits for other writers."""
        ...

    def read(self) -> AbstractAsyncContextManager[Look]:
        """To read them: a consistent state, without waiting for writers."""
        ...
