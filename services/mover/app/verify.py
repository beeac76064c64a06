"""Checking a repository, and making its index again."""

from collections.abc import Iterator, Sequence

from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, in_thread
from services.mover.app.shelf import Shelf
from services.mover.domain.facts import DamageFound, Fact, RepositoryVerified
from services.mover.domain.outcome import Outcome
from services.mover.domain.point import Damage
from services.mover.domain.repository import Registration
from services.mover.domain.transfer import Rebuild, Result, Transfer, Verify
from services.mover.repository import Finding, Repository, Verification

MOST_DAMAGES = 100
MOST_POINTS_NAMED = 50
POINTS_A_FACT = 10_000
"""A fact has to fit into one message of less than a megabyte, however large and damaged a repository is."""


class VerifyRunner:
    """Nothing of it needs to be undone: killed, the next attempt starts over."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def __call__(self, transfer: Transfer, spec: Verify, board: Board, cancel: Cancellation) -> Outcome:
        cancel.check()
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        board.doing("decoding every chunk" if spec.full else "comparing every object with its name")
        report = await in_thread(cancel, _verify, repository, spec, board, cancel)
        result = Result(
            damages=tuple(map(_damage, report.findings[:MOST_DAMAGES])),
            checked_objects=report.checked_objects,
            checked_bytes=report.checked_bytes,
        )
        return Outcome(result, tuple(_facts(registration, spec, report)))


class RebuildRunner:
    """The index is disposable: killed, the next attempt starts over."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def __call__(
        self, transfer: Transfer, spec: Rebuild, board: Board, cancel: Cancellation
    ) -> Outcome:
        cancel.check()
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        board.doing("reading the packs")
        packs = await in_thread(cancel, repository.rebuild_index)
        return Outcome(Result(checked_objects=packs))


def _verify(repository: Repository, spec: Verify, board: Board, cancel: Cancellation) -> Verification:
    total = repository.statistics().pack_bytes

    def listen(_objects: int, done_bytes: int) -> None:
        board.moved("", total=max(total, done_bytes), read=done_bytes)

    return repository.verify(full=spec.full, listener=listen, cancel=cancel.event)


def _facts(registration: Registration, spec: Verify, report: Verification) -> Iterator[Fact]:
    """What is found is told in parts that fit into a message; a part never says more than is true."""
    here = (registration.repository_id, registration.display_name)
    for start in range(0, len(report.findings), MOST_DAMAGES):
        yield DamageFound(*here, tuple(map(_damage, report.findings[start : start + MOST_DAMAGES])))
    sound, damaged = report.sound_points, report.damaged_points
    for start in range(0, max(len(sound), len(damaged), 1), POINTS_A_FACT):
        part = slice(start, start + POINTS_A_FACT)
        yield RepositoryVerified(*here, spec.full, sound[part], damaged[part])


def _damage(finding: Finding) -> Damage:
    points: Sequence[str] = finding.points
    more = len(points) - MOST_POINTS_NAMED
    text = f"{finding.problem} ({more} more points are damaged by it.)" if more > 0 else finding.problem
    return Damage(finding.object, text, tuple(points[:MOST_POINTS_NAMED]))
