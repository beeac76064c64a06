"""Backup sources: opening a moment of a VM, telling what to read of it, and closing it.

Killed at any step: the source was stored before the pool was asked for anything, so opening or closing again
with the same id finds what was made (by name and tag) and goes on; what nobody asks for again is closed by
the janitor when the transfer is reported failed.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import InvalidInput, NotFound, Unavailable, XenkeepError
from services.hypervisor.app.captures import HOOK_FAILED, Captures
from services.hypervisor.app.care import Care
from services.hypervisor.app.following import Following
from services.hypervisor.app.groups import Groups
from services.hypervisor.app.opening import Opening
from services.hypervisor.app.pools import Pools
from services.hypervisor.app.preparing import Preparing
from services.hypervisor.app.readables import Readable, Readables
from services.hypervisor.app.reviewing import Reviewing
from services.hypervisor.app.steps import Locks, Ongoing, Passed, nobody
from services.hypervisor.app.stillness import Stillness
from services.hypervisor.domain.capture import Hook, Offline, Options, assert_fitting
from services.hypervisor.domain.disk_rules import assert_rules
from services.hypervisor.domain.extents import Extent
from services.hypervisor.domain.group import Group, Member, assert_sound
from services.hypervisor.domain.motion import may_move
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import Base, Source, SourceState
from services.hypervisor.domain.source_rules import assert_not_closed, assert_open
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import GroupStore, SourceStore

_WAITS = Notice(
    "SNAPSHOT_WAITS",
    "The pool is moving disks of the VM: the snapshot of its backup is removed when that has ended, and the "
    "next backup of what moves is full.",
)

_log = structlog.get_logger()


class Sources:
    """Opens and closes; ``passed`` is told each step that is done."""

    def __init__(
        self,
        store: SourceStore,
        groups: GroupStore,
        captures: Captures,
        care: Care,
        pools: Pools,
        clock: Clock,
        passed: Passed = nobody,
    ) -> None:
        self._store = store
        self._captures = captures
        self._care = care
        self._pools = pools
        self._clock = clock
        self._passed = passed
        self._locks = Locks()
        self._ongoing = Ongoing()
        preparing = Preparing(care, passed)
        self._stillness = Stillness(store, passed)
        self._opening = Opening(store, captures, preparing, self._stillness, passed)
        following = Following(store)
        self._readables = Readables(store, following)
        self._reviewing = Reviewing(store, following)
        self._groups = Groups(groups, store, captures, preparing, pools, clock, self._locks, passed)

    async def open(
        self,
        pool_id: str,
        vm_id: str,
        source_id: str,
        method: Method,
        bases: tuple[Base, ...],
        asked: FullReason,
        options: Options,
        lineage: str = "",
        group: tuple[str, tuple[Member, ...]] | None = None,
    ) -> Readable:
        """Raises FailedPrecondition NBD_NOT_ENABLED, SOURCE_CLOSED, NOTHING_TO_CAPTURE; InvalidInput
        SOURCE_ID_TAKEN, OPTIONS_INVALID, DISK_RULE_INVALID; what ``Care.assert_possible`` and
        ``Captures.take`` raise.

        The method and rules of the first opening hold when it is opened again. A ``group`` (its id and
        members) is captured as a whole first: raises what ``Groups.take`` does."""
        assert_fitting(options, method)
        assert_rules(options.disks)
        watch = self._pools.find(pool_id)
        asked_for = Source(
            source_id=source_id,
            pool_id=pool_id,
            vm_id=vm_id,
            method=method,
            bases=bases,
            asked=asked,
            state=SourceState.OPENING,
            created=self._clock.now(),
            pool_display_name=watch.pool.display_name,
            options=replace(options, hooks=()),
            lineage=lineage,
        )
        if group is not None:
            asked_for = await self._of_group(asked_for, *group, options.hooks)
        source = await self._ongoing.join(f"open {source_id}", lambda: self._opened(asked_for, options.hooks))
        if (source.pool_id, source.vm_id) != (pool_id, vm_id):
            raise InvalidInput(
                f"The id {source_id} is that of another backup source.",
                reason="SOURCE_ID_TAKEN",
                hint="Choose a new UUID for each backup.",
            )
        return await self._readables.readable(watch.connection, source)

    async def get(self, pool_id: str, source_id: str, connections: int) -> Readable:
        """With endpoints that are valid now, and the source's share of each host when it wants so many
        ``connections`` per disk. Raises NotFound SOURCE_UNKNOWN and as ``open``."""
        source = await self._existing(pool_id, source_id)
        assert_open(source)
        readable = await self._readables.readable(self._pools.connection(pool_id), source)
        shared = await self._care.share(source, connections, readable.endpoints)
        return replace(readable, endpoints=shared)

    async def extents(self, pool_id: str, source_id: str, disk_id: str) -> Iterator[Extent]:
        """What has to be read of a disk, ascending: what changed, what was ever written, or all of it."""
        source = await self._existing(pool_id, source_id)
        assert_open(source)
        return await self._readables.extents(source, disk_id)

    async def review(self, pool_id: str, source_id: str) -> tuple[Notice, ...]:
        """Everything that was told of an open source, after one more look at its VM's disks."""
        source = await self._existing(pool_id, source_id)
        assert_open(source)
        return (await self._reviewing.review(self._pools.connection(pool_id), source)).notices

    async def close(self, pool_id: str, source_id: str, committed: bool) -> tuple[Notice, ...]:
        """Everything there is to tell of the source. Safe to repeat; what was said first about ``committed``
        holds.

        A pool that is copying the snapshot's disks to other storage would leave copies that nobody can tell
        are ours: until that has ended the source is CLOSING, and the janitor goes on. While a snapshot is
        being removed no disk of the VM can begin to move."""
        return await self._ongoing.join(
            f"close {source_id}", lambda: self._close(pool_id, source_id, committed)
        )

    async def _close(self, pool_id: str, source_id: str, committed: bool) -> tuple[Notice, ...]:
        async with self._locks.of(source_id):
            source = await self._existing(pool_id, source_id)
            if source.state is SourceState.CLOSED:
                return source.notices
            if source.state is not SourceState.CLOSING:
                closing = partial(replace, state=SourceState.CLOSING, committed=committed)
                source = await self._store.revise(source_id, closing)
                self._passed("close:recorded")
            connection = self._pools.connection(pool_id)
            failed = await self._settled(connection, source)
            if not await self._stillness.reached(connection, source):
                _log.warning("the VM's disks are being moved, its snapshot waits", source=source_id)
                return (*source.notices, _WAITS)
            source = await self._reviewing.review(connection, await self._existing(pool_id, source_id))
            await connection.remove_snapshot(
                source_id, source.committed, source.lineage, source.kept_disks, source.snapshot_disks
            )
            self._passed("close:removed")
            await self._stillness.end(connection, source)
            self._passed("close:allowed")
            if failed is not None:
                raise failed
            await self._captures.finish(source, committed=source.committed)
            await self._store.close(replace(source, state=SourceState.CLOSED))
            self._care.freed(pool_id)
            return source.notices

    async def keep_still(self, pool_id: str, source_id: str) -> None:
        """Blocks for an open source what has to be by now (``Stillness.keep``). What cannot be is told of the
        source, once, and raised."""
        async with self._locks.of(source_id):
            source = await self._store.get(source_id)
            if source is None or source.state is not SourceState.OPEN:
                return
            try:
                await self._stillness.keep(self._pools.connection(pool_id), source)
            except XenkeepError as error:
                if not isinstance(error, Unavailable):
                    await self._store.revise(source_id, partial(may_move, why=str(error)))
                raise
            self._passed("still:blocked")

    def busy(self, source_id: str) -> bool:
        """Whether it is being opened or closed: a VM may take minutes to shut down."""
        return self._locks.of(source_id).locked()

    async def settle(self, pool_id: str, source_id: str) -> None:
        """Puts right what an opening that ended owes to its VM."""
        async with self._locks.of(source_id):
            source = await self._existing(pool_id, source_id)
            offline = source.options.offline or Offline()
            keep_off = source.state is SourceState.OPEN and offline.stay_off
            await self._captures.settle(self._pools.connection(pool_id), source, keep_off=keep_off)

    async def _settled(self, connection: PoolConnection, source: Source) -> XenkeepError | None:
        """What keeps a VM from being started again; a hook that failed was called."""
        try:
            await self._captures.settle(connection, source, keep_off=False)
        except XenkeepError as error:
            return None if error.reason == HOOK_FAILED else error
        return None

    async def _existing(self, pool_id: str, source_id: str) -> Source:
        source = await self._store.get(source_id)
        if source is None or source.pool_id != pool_id:
            raise NotFound(
                f"There is no backup source {source_id} in pool {pool_id}.",
                reason="SOURCE_UNKNOWN",
                hint="Open one.",
            )
        return source

    async def _opened(self, asked_for: Source, hooks: tuple[Hook, ...]) -> Source:
        """The source of that id: as it is, or opened now."""
        async with self._locks.of(asked_for.source_id):
            source = await self._store.add(asked_for)
            if source.reserved and source.state is SourceState.OPENING:
                source = replace(asked_for, created=source.created)
                await self._store.save(source)
            self._passed("open:recorded")
            assert_not_closed(source)
            if source.state is SourceState.OPENING:
                source = await self._opening.open(self._pools.connection(source.pool_id), source, hooks)
            return source

    async def _of_group(
        self, asked_for: Source, group_id: str, members: tuple[Member, ...], hooks: tuple[Hook, ...]
    ) -> Source:
        """The source with the moment of its group, which has been captured then."""
        group = Group(group_id, members, asked_for.created)
        assert_sound(group, Member(asked_for.pool_id, asked_for.vm_id, asked_for.source_id))
        try:
            taken = await self._groups.take(group, asked_for, hooks)
        except XenkeepError:
            for source in await self._groups.given_up(group_id):
                with suppress(XenkeepError):  # the janitor goes on
                    await self.close(source.pool_id, source.source_id, committed=False)
            raise
        return replace(asked_for, group=taken.moment)
