"""Repairing a repository from one of its copies."""

import asyncio
from collections.abc import Callable

from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, in_thread
from services.mover.app.shelf import Shelf
from services.mover.app.transfers import Transfers
from services.mover.domain.capture import Remark
from services.mover.domain.copying import Heal, Healed
from services.mover.domain.outcome import Outcome
from services.mover.domain.transfer import Result, Transfer
from services.mover.repository import BackupOptions, HealReport, Repository, Store


class Heals:
    """Asking for them."""

    def __init__(self, transfers: Transfers, shelf: Shelf) -> None:
        self._transfers, self._shelf = transfers, shelf

    async def start(self, repository: str, copy_url: str) -> Transfer:
        """Queue a repair for the site's movers; raises NotFound, InvalidInput for what is no place."""
        return await self._transfers.heal(repository, self._shelf.places.location(copy_url))


class HealRunner:
    """Killed or cancelled, nothing is harmed; the next one stores what is still missing."""

    def __init__(self, shelf: Shelf, writing: Callable[[], BackupOptions]) -> None:
        """``writing`` says how hard to work at what is stored again."""
        self._shelf, self._writing = shelf, writing

    async def __call__(self, transfer: Transfer, spec: Heal, board: Board, cancel: Cancellation) -> Outcome:
        cancel.check()
        board.doing("looking at the copy")
        repository = await self._shelf.repository(spec.repository_id)
        copy = await asyncio.to_thread(self._shelf.store, spec.copy_url)
        report = await in_thread(cancel, self._heal, repository, copy, board, cancel)
        healed = Healed(report.damaged_packs, report.healed_blobs, report.left_blobs, report.stored_bytes)
        notices = tuple(Remark(code, text) for code, text in report.notices)
        return Outcome(Result(healed=healed, notices=notices))

    def _heal(self, repository: Repository, copy: Store, board: Board, cancel: Cancellation) -> HealReport:
        def listen(packs: int, done: int) -> None:
            board.doing(f"damaged pack {done + 1} of {packs}")

        return repository.heal_from(
            copy, self._shelf.cache, self._writing(), listener=listen, cancel=cancel.event
        )
