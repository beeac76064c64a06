"""Look at the deliveries."""

from collections.abc import Sequence

from services.notifier.domain.delivery import Delivery
from services.notifier.ports import Store


class DeliveryList:
    """What was told to whom, and what came of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, channel: str, size: int, after: str) -> tuple[Sequence[Delivery], str]:
        """`size` deliveries, newest first, and the id to go on behind; empty at the end."""
        async with self._store.read() as look:
            found = await look.page(channel, size + 1, after)
        shown = found[:size]
        return shown, shown[-1].delivery_id if len(found) > size else ""
