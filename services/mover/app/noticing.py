"""Any transfer, and what its repository's store told meanwhile: a retry that helped is on the result."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.chassis.errors import NotFound
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.shelf import Shelf
from services.mover.app.worker import Runner
from services.mover.domain.capture import Remark
from services.mover.domain.outcome import Outcome
from services.mover.domain.transfer import Transfer


class Noticing:
    """A ``Runner`` around ``runner``. Of an attempt whose mover died only its log tells."""

    def __init__(self, runner: Runner, shelf: Shelf) -> None:
        self._runner, self._shelf = runner, shelf

    async def __call__(self, transfer: Transfer, spec: Any, board: Board, cancel: Cancellation) -> Outcome:
        try:
            news = await self._shelf.news(spec.repository_id)
        except NotFound:  # the runner says so, and cleans up after an earlier attempt
            return await self._runner(transfer, spec, board, cancel)
        with news.listening() as heard:
            board.hear(heard.remarks)
            outcome = await self._runner(transfer, spec, board, cancel)
            return _with(outcome, heard.remarks())


def _with(outcome: Outcome, remarks: Sequence[Remark]) -> Outcome:
    """What the restore point says already may be less than there was in the end: the count goes on."""
    codes = {remark.code for remark in remarks}
    kept = [notice for notice in outcome.result.notices if notice.code not in codes]
    return replace(outcome, result=replace(outcome.result, notices=(*kept, *remarks)))
