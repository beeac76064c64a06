"""What the notifier needs from the world."""

from typing import Protocol

from services.chassis.config import Secret
from services.notifier.domain.delivery import Delivery, Receipt


class Sink(Protocol):
    """Hands one delivery to the outside."""

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Return once the peer has taken responsibility, or once everything the protocol allows is done.

        Bounded in time whatever the peer does. The same delivery is the same message each time (same
        Message-ID). Raises `Unavailable` when a later attempt may succeed, `FailedPrecondition` when the
        peer refused for good. No error text contains a secret; what the peer said is one short line.
        """
        ...


class Files(Protocol):
    """The files that channels name: passwords and certificates. Read anew for every delivery."""

    async def password(self, name: str) -> Secret:
        """The first line. Raises `FailedPrecondition` when there is none or it may not be read."""
        ...

    async def certificates(self, name: str) -> str:
        """PEM text; empty, meaning the system's authorities, for an empty name. Raises like `password`."""
        ...
