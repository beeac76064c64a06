"""Copying restore points to another place."""

from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, in_thread
from services.mover.app.point_records import rfc3339
from services.mover.app.shelf import Shelf
from services.mover.app.transfers import Transfers
from services.mover.domain.capture import Remark
from services.mover.domain.copying import Copied, Copy, LeftPoint
from services.mover.domain.outcome import Outcome
from services.mover.domain.transfer import Result, Transfer
from services.mover.ports.copies import CopyTargets
from services.mover.repository import CopyOptions, CopyReport, Repository, Store

MOST_LEFT_POINTS = 100
"""Named in a result: it has to fit into one message."""
STREAMS = 4


class Copies:
    """Asking for them."""

    def __init__(self, transfers: Transfers, targets: CopyTargets) -> None:
        self._transfers, self._targets = transfers, targets

    async def start(self, spec: Copy) -> Transfer:
        """Queue a copy for the site's movers; raises NotFound, InvalidInput for an impossible target."""
        return await self._transfers.copy(spec, self._targets.location(spec.target_url))


class CopyRunner:
    """Killed or cancelled, the next copy to the same place goes on: what is there is not sent again."""

    def __init__(self, shelf: Shelf, targets: CopyTargets) -> None:
        self._shelf, self._targets = shelf, targets

    async def __call__(self, transfer: Transfer, spec: Copy, board: Board, cancel: Cancellation) -> Outcome:
        cancel.check()
        board.doing("looking at both places")
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        notice = self._shelf.news_at(registration.url).tell
        store = await in_thread(
            cancel,
            self._targets.open,
            spec.target_url,
            registration.repository_id,
            spec.limits,
            cancel.event,
            notice,
        )
        report = await in_thread(cancel, self._copy, repository, store, spec, board, cancel)
        return Outcome(
            Result(
                copied=_copied(report),
                resumed_from_bytes=report.found_bytes,
                notices=tuple(_remarks(report)),
            )
        )

    def _copy(
        self, repository: Repository, store: Store, spec: Copy, board: Board, cancel: Cancellation
    ) -> CopyReport:
        def listen(activity: str, total: int, sent: int, found: int) -> None:
            board.doing(activity)
            board.moved("", total=total, read=sent, resumed=found)
            board.stored(sent)

        options = CopyOptions(
            assets=frozenset(spec.assets),
            since=rfc3339(spec.since) if spec.since else "",
            newest=spec.newest,
            streams=STREAMS,
        )
        return repository.copy_to(store, self._shelf.cache, options, listener=listen, cancel=cancel.event)


def _copied(report: CopyReport) -> Copied:
    left = sorted(report.left_points.items())
    return Copied(
        copied_points=len(report.copied_points),
        known_points=report.known_points,
        sent_packs=report.copied_packs,
        sent_bytes=report.copied_bytes,
        left_count=len(left),
        left_points=tuple(LeftPoint(*each) for each in left[:MOST_LEFT_POINTS]),
    )


def _remarks(report: CopyReport) -> list[Remark]:
    remarks = [Remark(code, text) for code, text in report.notices]
    if report.left_points:
        text = f"{len(report.left_points)} restore points were not copied; the result says why."
        remarks.append(Remark("COPY_LEFT_POINTS", text))
    return remarks
