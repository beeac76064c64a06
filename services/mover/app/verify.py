"""Checking a repository, and making its index again."""

import asyncio

from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.shelf import Shelf
from services.mover.domain.facts import DamageFound, Fact, RepositoryVerified
from services.mover.domain.outcome import Outcome
from services.mover.domain.point import Damage
from services.mover.domain.transfer import Rebuild, Result, Transfer, Verify


class VerifyRunner:
    """Nothing of it needs to be undone: killed, the next attempt starts over."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def __call__(self, transfer: Transfer, spec: Verify, board: Board, cancel: Cancellation) -> Outcome:
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        board.doing("decoding every chunk" if spec.full else "comparing every object with its name")

        total = (await asyncio.to_thread(repository.statistics)).pack_bytes

        def listen(_objects: int, done_bytes: int) -> None:
            board.moved("", total=max(total, done_bytes), read=done_bytes, resumed=0, stored=0)

        report = await asyncio.to_thread(
            repository.verify, full=spec.full, listener=listen, cancel=cancel.event
        )
        damages = tuple(Damage(found.object, found.problem, found.points) for found in report.findings)
        result = Result(
            damages=damages, checked_objects=report.checked_objects, checked_bytes=report.checked_bytes
        )
        name = registration.display_name
        facts: list[Fact] = [
            RepositoryVerified(
                registration.repository_id, name, spec.full, report.sound_points, report.damaged_points
            )
        ]
        if damages:
            facts.insert(0, DamageFound(registration.repository_id, name, damages))
        return Outcome(result, tuple(facts))


class RebuildRunner:
    """The index is disposable: killed, the next attempt starts over."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def __call__(
        self, transfer: Transfer, spec: Rebuild, board: Board, cancel: Cancellation
    ) -> Outcome:
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        board.doing("reading the packs")
        packs = await asyncio.to_thread(repository.rebuild_index)
        return Outcome(Result(checked_objects=packs))
