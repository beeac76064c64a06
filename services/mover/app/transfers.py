"""Look at transfers, ask for them, stop them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from services.chassis.clock import Clock
from services.chassis.errors import FailedPrecondition, InvalidInput, NotFound
from services.chassis.ids import IdSource
from services.mover.app.registered import registered
from services.mover.domain.copying import Copy, Heal
from services.mover.domain.facts import TransferCancelled, TransferRequested
from services.mover.domain.transfer import Prune, Rebuild, Spec, State, Transfer, Verify
from services.mover.ports.books import Books, Changes, Work

LOOK_EVERY_S = 2.0
"""A change made by another mover of the site rings no bell here."""


class Transfers:
    """One method per verb."""

    def __init__(
        self,
        books: Books,
        changes: Changes,
        clock: Clock,
        ids: IdSource,
        waits_for: Callable[[], str] = str,
    ) -> None:
        """``waits_for`` says what a queued transfer waits for, now."""
        self._books = books
        self._waits_for = waits_for
        self._changes = changes
        self._clock = clock
        self._ids = ids

    async def verify(self, repository: str, *, full: bool, share: float = 0.0, packs: int = 0) -> Transfer:
        """Queue a verification for the site's movers; raises NotFound, InvalidInput for an impossible sample.

        Without ``share`` and ``packs`` everything is read.
        """
        async with self._books.writing() as work:
            registration = await registered(work, repository)
            return await self._request(work, Verify(registration.repository_id, full, share, packs))

    async def rebuild(self, repository: str) -> Transfer:
        """Queue a rebuild of the index for the site's movers; raises NotFound."""
        async with self._books.writing() as work:
            registration = await registered(work, repository)
            return await self._request(work, Rebuild(registration.repository_id))

    async def prune(
        self, repository: str, *, dry_run: bool, grace: timedelta | None, retire_through: int = 0
    ) -> Transfer:
        """Queue a prune for the site's movers; raises NotFound, InvalidInput for an impossible ``grace``."""
        async with self._books.writing() as work:
            registration = await registered(work, repository)
            spec = Prune(registration.repository_id, dry_run, grace, retire_through)
            return await self._request(work, spec)

    async def copy(self, spec: Copy, target_url: str) -> Transfer:
        """Queue a copy to ``target_url`` for the site's movers; raises NotFound."""
        async with self._books.writing() as work:
            registration = await registered(work, spec.repository_id)
            found = replace(spec, repository_id=registration.repository_id, target_url=target_url)
            return await self._request(work, found)

    async def heal(self, repository: str, copy_url: str) -> Transfer:
        """Queue a repair from the copy at ``copy_url`` for the site's movers; raises NotFound."""
        async with self._books.writing() as work:
            registration = await registered(work, repository)
            return await self._request(work, Heal(registration.repository_id, copy_url))

    async def get(self, transfer_id: str) -> Transfer:
        """Raises NotFound."""
        async with self._books.reading() as work:
            return self._told(await _found(work, transfer_id))

    async def page(self, before: str, size: int) -> Sequence[Transfer]:
        """Newest first; raises InvalidInput when ``before`` is not known."""
        async with self._books.reading() as work:
            if before and await work.transfers.get(before) is None:
                raise InvalidInput(
                    "The page token is not one of this list.",
                    reason="PAGE_TOKEN_INVALID",
                    hint="Start again.",
                )
            return [self._told(each) for each in await work.transfers.page(before, size)]

    async def watch(self, transfer_id: str) -> AsyncIterator[Transfer]:
        """The transfer now and after every change, until it ended."""
        with self._changes.listen() as ear:
            last: Transfer | None = None
            while last is None or not last.ended:
                transfer = await self.get(transfer_id)
                if transfer != last:
                    yield transfer
                    last = transfer
                if not transfer.ended:
                    with suppress(TimeoutError):
                        await self._clock.wait(ear.next(), LOOK_EVERY_S)

    async def cancel(self, transfer_id: str) -> Transfer:
        """Ask it to stop. Raises NotFound; FailedPrecondition when it has ended."""
        async with self._books.writing() as work:
            transfer = await _found(work, transfer_id)
            if transfer.ended:
                raise FailedPrecondition(
                    f"The transfer {transfer_id} has already {transfer.state}.", reason="TRANSFER_ENDED"
                )
            await self.cancel_in(work, transfer_id)
        return await self.get(transfer_id)

    async def cancel_in(self, work: Work, transfer_id: str) -> None:
        """Within a unit of work: what runs is asked to stop, what comes later is not started.

        A transfer that was not met yet may be another site's: it is told to be cancelled when it is met.
        """
        transfer = await work.transfers.get(transfer_id)
        if transfer is None:
            await work.transfers.refuse(transfer_id)
        elif transfer.state == State.QUEUED:
            await work.transfers.put(transfer.cancelled(self._clock.now()))
            await work.tell(TransferCancelled(transfer_id))
        elif not transfer.ended:
            await work.transfers.put(transfer.asked_to_stop())

    async def _request(self, work: Work, spec: Spec) -> Transfer:
        transfer = Transfer(self._ids.new(), spec, self._clock.now())
        await work.transfers.put(transfer)
        await work.tell(TransferRequested(transfer.transfer_id, spec))
        return transfer

    def _told(self, transfer: Transfer) -> Transfer:
        if transfer.state != State.QUEUED:
            return transfer
        return transfer.moved_on(replace(transfer.progress, activity=self._waits_for()))


async def _found(work: Work, transfer_id: str) -> Transfer:
    transfer = await work.transfers.get(transfer_id)
    if transfer is None:
        raise NotFound(
            f"There is no transfer {transfer_id} at this site.",
            reason="TRANSFER_NOT_FOUND",
            hint="See `xenkeep transfer list`.",
        )
    return transfer
