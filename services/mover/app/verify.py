"""Checking a repository, and making its index again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, in_thread
from services.mover.app.shelf import Shelf
from services.mover.domain.capture import Remark
from services.mover.domain.facts import DamageFound, Fact, RepositoryVerified
from services.mover.domain.outcome import Outcome
from services.mover.domain.point import Damage
from services.mover.domain.repository import Registration
from services.mover.domain.transfer import Coverage, Rebuild, Result, Transfer, Verify
from services.mover.ports.books import Books
from services.mover.repository import Finding, Repository, Sample, Verification
from services.mover.repository.sampling import start_at

_PAGE, _MOST_PAGES = 200, 50
"""How far back the last sample is looked for, in transfers."""
MOST_DAMAGES = 100
MOST_POINTS_NAMED = 50
POINTS_A_FACT = 10_000
"""A fact has to fit into one message of less than a megabyte, however large and damaged a repository is."""


class VerifyRunner:
    """Nothing of it needs to be undone: killed or cancelled, the next one at this mover goes on with what it
    had not read, for a week; another mover starts over.

    A sample begins where the last one of the repository that succeeded ended, whichever mover of the site
    took it; the very first one somewhere, settled by the time it was asked for.
    """

    def __init__(self, shelf: Shelf, books: Books) -> None:
        self._shelf = shelf
        self._books = books

    async def __call__(self, transfer: Transfer, spec: Verify, board: Board, cancel: Cancellation) -> Outcome:
        cancel.check()
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        sample = await self._sample(transfer, spec) if spec.is_sample else None
        what = "decoding every chunk" if spec.full else "comparing every object with its name"
        board.doing(f"{what}, of a sample" if sample else what)
        report = await in_thread(cancel, _verify, repository, spec, sample, board, cancel, self._notes(spec))
        result = Result(
            damages=tuple(map(_damage, report.findings[:MOST_DAMAGES])),
            checked_objects=report.checked_objects,
            checked_bytes=report.checked_bytes,
            coverage=_coverage(report),
            notices=tuple(Remark(code, text) for code, text in report.notices[:MOST_DAMAGES]),
            resumed_from_bytes=report.resumed_bytes,
        )
        return Outcome(result, tuple(_facts(registration, spec, report)))

    def _notes(self, spec: Verify) -> Path:
        return self._shelf.cache / f"verified-{'full' if spec.full else 'scrub'}-{spec.repository_id}"

    async def _sample(self, transfer: Transfer, spec: Verify) -> Sample:
        start = await self._last_end(transfer.transfer_id, spec.repository_id)
        return Sample(start or start_at(transfer.create_time), spec.share, spec.packs)

    async def _last_end(self, before: str, repository_id: str) -> str:
        async with self._books.reading() as work:
            for _ in range(_MOST_PAGES):
                page = await work.transfers.page(before, _PAGE)
                for each in page:
                    here = isinstance(each.spec, Verify) and each.spec.repository_id == repository_id
                    if here and each.result is not None and each.result.coverage is not None:
                        return each.result.coverage.next_start
                if len(page) < _PAGE:
                    break
                before = page[-1].transfer_id
        return ""


class RebuildRunner:
    """The index is disposable: killed or cancelled, the next attempt starts over.

    It reads some kilobytes a pack, not the packs.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def __call__(
        self, transfer: Transfer, spec: Rebuild, board: Board, cancel: Cancellation
    ) -> Outcome:
        cancel.check()
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        board.doing("reading the directories of packs")

        def listen(total: int, done: int) -> None:
            board.moved("", total=total, read=done)

        rebuilt = await in_thread(cancel, repository.rebuild_index, listener=listen, cancel=cancel.event)
        return Outcome(Result(checked_objects=rebuilt.packs, checked_bytes=rebuilt.pack_bytes))


def _verify(
    repository: Repository,
    spec: Verify,
    sample: Sample | None,
    board: Board,
    cancel: Cancellation,
    notes: Path,
) -> Verification:
    total = repository.statistics().pack_bytes

    def listen(_objects: int, done_bytes: int) -> None:
        board.moved("", total=max(0 if sample else total, done_bytes), read=done_bytes)

    return repository.verify(full=spec.full, sample=sample, listener=listen, cancel=cancel.event, notes=notes)


def _coverage(report: Verification) -> Coverage | None:
    sampled = report.sampled
    if sampled is None:
        return None
    return Coverage(
        sampled.checked_packs, sampled.packs, sampled.checked_bytes, sampled.pack_bytes, sampled.next_start
    )


def _facts(registration: Registration, spec: Verify, report: Verification) -> Iterator[Fact]:
    """What is found is told in parts that fit into a message; a part never says more than is true."""
    here = (registration.repository_id, registration.display_name)
    for start in range(0, len(report.findings), MOST_DAMAGES):
        yield DamageFound(*here, tuple(map(_damage, report.findings[start : start + MOST_DAMAGES])))
    sound, damaged = report.sound_points, report.damaged_points
    for start in range(0, max(len(sound), len(damaged), 1), POINTS_A_FACT):
        part = slice(start, start + POINTS_A_FACT)
        yield RepositoryVerified(*here, spec.full, sound[part], damaged[part], _coverage(report))


def _damage(finding: Finding) -> Damage:
    points: Sequence[str] = finding.points
    more = len(points) - MOST_POINTS_NAMED
    text = f"{finding.problem} ({more} more points are damaged by it.)" if more > 0 else finding.problem
    return Damage(finding.object, text, tuple(points[:MOST_POINTS_NAMED]))
