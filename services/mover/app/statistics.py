"""What takes how much room in a repository."""

import asyncio
from collections.abc import AsyncGenerator

from services.mover.app.cancellation import Cancellation, in_thread
from services.mover.app.shelf import Shelf
from services.mover.repository import Usage

Walked = tuple[int, int]
"""So many points of so many."""


class RepositoryStatistics:
    """One method per verb."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def survey(self, name: str) -> AsyncGenerator[Walked | Usage, None]:
        """How far it is, now and then, and what came of it at last; whoever stops listening stops it.

        Raises NotFound, and what the repository raises.
        """
        registration = await self._shelf.registration(name)
        repository = await self._shelf.repository(registration.repository_id)
        cancel = Cancellation()
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[Walked | None] = asyncio.Queue()

        def listen(done: int, total: int) -> None:
            loop.call_soon_threadsafe(news.put_nowait, (done, total))

        working = asyncio.ensure_future(
            in_thread(cancel, repository.survey, self._shelf.cache, listener=listen, cancel=cancel.event)
        )
        working.add_done_callback(lambda _: news.put_nowait(None))
        try:
            while (walked := await news.get()) is not None:
                yield walked
            yield await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
