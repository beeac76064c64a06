"""The keys of a repository, and what a place for one can be trusted with."""

import asyncio
import os
from collections.abc import Sequence

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition, InvalidInput
from services.mover.app.shelf import Shelf
from services.mover.domain.repository import Key
from services.mover.ports.books import Books
from services.mover.repository import EpochUse, Repository
from services.mover.repository.format.slot import PASSPHRASE, RECOVERY, checked_passphrase
from services.mover.repository.probe import probe
from services.mover.repository.probing import ProbeReport

LONGEST_LABEL = 100


class Keys:
    """One method per verb. ``name`` is a repository's id or display name; all raise NotFound."""

    def __init__(self, books: Books, shelf: Shelf) -> None:
        self._books = books
        self._shelf = shelf
        self._changing = asyncio.Lock()

    async def list(self, name: str) -> Sequence[Key]:
        repository, secret = await self._opened(name)
        return await asyncio.to_thread(_keys, repository, secret)

    async def add_passphrase(self, name: str, passphrase: Secret, label: str, *, use: bool) -> Key:
        """Proven by opening the repository before it counts.

        Killed before ``use`` took effect: the key is there, the old one is used on; add another with ``use``.
        """
        checked_passphrase(passphrase.reveal())
        _check_label(label)
        async with self._changing:
            repository, _ = await self._opened(name)
            key_id = await asyncio.to_thread(_free_id, repository, PASSPHRASE)
            await asyncio.to_thread(repository.keys.add_passphrase, key_id, passphrase.reveal(), label)
            if use:
                sealed = self._shelf.seal(repository.repository_id, passphrase)
                async with self._books.writing() as work:
                    await work.repositories.change_secret(repository.repository_id, sealed)
        return Key(key_id, PASSPHRASE, label, in_use=use)

    async def add_recovery_key(self, name: str, label: str) -> tuple[Key, str]:
        """The key and its printed form, which is kept nowhere."""
        _check_label(label)
        async with self._changing:
            repository, _ = await self._opened(name)
            key_id = await asyncio.to_thread(_free_id, repository, RECOVERY)
            printed = await asyncio.to_thread(repository.keys.add_recovery_key, key_id, label)
        return Key(key_id, RECOVERY, label, in_use=False), printed

    async def remove(self, name: str, key_id: str) -> Sequence[Key]:
        """What is left. Raises FailedPrecondition for one of the last two keys and for the one in use."""
        async with self._changing:
            repository, secret = await self._opened(name)
            if await asyncio.to_thread(repository.keys.slot_of, secret.reveal()) == key_id:
                raise FailedPrecondition(
                    f"This site opens the repository with {key_id}.",
                    reason="KEY_IN_USE",
                    hint="Add another passphrase with `xenkeep repo key add --use` first.",
                )
            await asyncio.to_thread(repository.keys.remove_slot, key_id)
            return await asyncio.to_thread(_keys, repository, secret)

    async def rotate(self, name: str) -> int:
        """The number of the epoch that later backups seal with."""
        async with self._changing:
            repository, _ = await self._opened(name)
            return await asyncio.to_thread(repository.keys.start_epoch)

    async def epochs(self, name: str) -> Sequence[EpochUse]:
        repository, _ = await self._opened(name)
        return await asyncio.to_thread(repository.keys.epochs)

    async def retirable(self, name: str, through: int) -> int:
        """The newest epoch to retire: ``through``, or the last but one for 0. Raises FailedPrecondition."""
        epochs = await self.epochs(name)
        current = max((use.epoch for use in epochs if use.current), default=0)
        older = [use.epoch for use in epochs if use.epoch < current and (not through or use.epoch <= through)]
        if through >= current or not older:
            raise FailedPrecondition(
                f"There is no older epoch to retire: new packs are sealed with epoch {current}.",
                reason="EPOCH_IN_USE",
                hint="Start a new one first: xenkeep repo key rotate. See `xenkeep repo key epochs`.",
            )
        return max(older)

    async def probe(self, url: str) -> ProbeReport:
        """Try a place; raises what it cannot even be tried for."""
        place = self._shelf.places.location(url)
        return await asyncio.to_thread(lambda: probe(self._shelf.places.open(place), os.urandom))

    async def _opened(self, name: str) -> tuple[Repository, Secret]:
        registration = await self._shelf.registration(name)
        repository = await self._shelf.repository(registration.repository_id)
        return repository, await self._shelf.secret(registration.repository_id)


def _keys(repository: Repository, secret: Secret) -> Sequence[Key]:
    used = repository.keys.slot_of(secret.reveal())
    return [Key(id_, kind, label, id_ == used) for id_, kind, label in repository.keys.list_slots()]


def _free_id(repository: Repository, kind: str) -> str:
    taken = {id_ for id_, _, _ in repository.keys.list_slots()}
    return next(id_ for n in range(1, len(taken) + 2) if (id_ := f"{kind}-{n}") not in taken)


def _check_label(label: str) -> None:
    if len(label) > LONGEST_LABEL or not label.isprintable():
        raise InvalidInput(
            "The label of a key is too long, or holds what cannot be printed.",
            reason="LABEL_INVALID",
            hint=f"Use up to {LONGEST_LABEL} printable characters.",
        )
