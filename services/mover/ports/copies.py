"""Where copies go."""

import threading
from collections.abc import Callable
from typing import Protocol

from services.mover.domain.rates import RateLimits
from services.mover.repository import Store


class CopyTargets(Protocol):
    """Places that copies can be brought to."""

    def location(self, url: str) -> str:
        """The one way to write this URL; asks nobody. Raises InvalidInput when no copy can go there."""
        ...

    def open(
        self,
        url: str,
        repository_id: str,
        limits: RateLimits,
        cancel: threading.Event,
        on_notice: Callable[[str, str], None],
    ) -> Store:
        """The store at a URL for a copy of the repository; a missing place is made.

        Packs are sent there within ``limits``, shared with other copies that have some; whoever waits for
        them is let go with Cancelled when ``cancel`` is set. Raises NotFound, FailedPrecondition and
        Unavailable when there can be none.
        """
        ...
