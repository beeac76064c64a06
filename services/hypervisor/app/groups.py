"""Capturing a group of VMs: prepare and freeze all, snapshot all, let all go on; or none of them.

Every member's source is stored before anything is done to its VM, so that whoever ends a source, or the
janitor, finds what there is of it. A member's own opening finds its snapshot taken.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from services.chassis.clock import Clock
from services.chassis.errors import Aborted, InvalidInput, Unavailable, XenkeepError
from services.hypervisor.app.captures import Captures
from services.hypervisor.app.pools import Pools
from services.hypervisor.app.preparing import Preparing
from services.hypervisor.app.steps import Locks, Ongoing, Passed
from services.hypervisor.app.together import Together
from services.hypervisor.domain.capture import Hook
from services.hypervisor.domain.group import Group, GroupFailure, GroupState, Member
from services.hypervisor.domain.source import Source, SourceState
from services.hypervisor.ports.stores import GroupStore, SourceStore

_BROKEN = "GROUP_BROKEN"


class Groups:
    """``locks`` are those of the sources."""

    def __init__(
        self,
        store: GroupStore,
        sources: SourceStore,
        captures: Captures,
        preparing: Preparing,
        pools: Pools,
        clock: Clock,
        locks: Locks,
        passed: Passed,
    ) -> None:
        self._store = store
        self._sources = sources
        self._captures = captures
        self._preparing = preparing
        self._pools = pools
        self._clock = clock
        self._locks = locks
        self._passed = passed
        self._ongoing = Ongoing()

    async def take(self, group: Group, like: Source, hooks: tuple[Hook, ...]) -> Group:
        """The group as TAKEN. The others are captured as ``like`` is; what was said first holds.

        Raises InvalidInput GROUP_ID_TAKEN; what captured the first VM that failed raised, for all members,
        when nothing is to be had of the group; Unavailable when it may be asked for again.
        """
        return await self._ongoing.join(f"group {group.group_id}", lambda: self._take(group, like, hooks))

    async def given_up(self, group_id: str) -> list[Source]:
        """The sources of a group that FAILED which are not closed yet."""
        group = await self._store.get(group_id)
        if group is None or group.state is not GroupState.FAILED:
            return []
        found = [await self._sources.get(member.source_id) for member in group.members]
        return [each for each in found if each and each.reserved and each.state is not SourceState.CLOSED]

    async def _take(self, asked_for: Group, like: Source, hooks: tuple[Hook, ...]) -> Group:
        async with self._locked(asked_for):
            group = await self._store.add(asked_for)
            self._passed("group:recorded")
            if group.members != asked_for.members:
                raise InvalidInput(
                    f"The id {group.group_id} is that of another group.",
                    reason="GROUP_ID_TAKEN",
                    hint="Choose a new UUID for each group.",
                )
            if group.failure is not None:
                raise group.failure.error()
            if group.state is GroupState.TAKEN:
                return group
            try:
                sources = [await self._reserved(member, like) for member in group.members]
                self._passed("group:reserved")
                for source in sources:
                    await self._clear(source)
                return await self._capture(group, sources, hooks)
            except Unavailable:
                raise  # it may be asked for again, and begins anew then
            except XenkeepError as error:
                raise await self._failed(group, error) from error

    @asynccontextmanager
    async def _locked(self, group: Group) -> AsyncIterator[None]:
        """Nobody else opens, settles or closes one of the sources meanwhile."""
        async with AsyncExitStack() as stack:
            for source_id in sorted(member.source_id for member in group.members):
                await stack.enter_async_context(self._locks.of(source_id))
            yield

    async def _reserved(self, member: Member, like: Source) -> Source:
        """The member's source. What it is to be read relative to is known when its own transfer opens it."""
        pool = self._pools.find(member.pool_id).pool
        source = await self._sources.add(
            replace(
                like,
                source_id=member.source_id,
                pool_id=member.pool_id,
                pool_display_name=pool.display_name,
                vm_id=member.vm_id,
                bases=(),
                lineage="",
                reserved=True,
            )
        )
        if source.state is not SourceState.OPENING or source.vm_id != member.vm_id:
            raise Aborted(
                f"Backup source {source.source_id} was opened or closed before its group was taken.",
                reason="GROUP_MEMBER_GONE",
                hint="Start a new backup with new ids.",
            )
        return source

    async def _clear(self, source: Source) -> None:
        """What an attempt that died left would be of another moment."""
        connection = self._pools.connection(source.pool_id)
        await self._captures.settle(connection, source, keep_off=False)
        await connection.remove_snapshot(source.source_id, keep_tracking=False)

    async def _capture(self, group: Group, sources: list[Source], hooks: tuple[Hook, ...]) -> Group:
        together = Together(len(sources), self._clock)
        members = [self._member(source, hooks, together) for source in sources]
        results = await asyncio.gather(*members, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, XenkeepError):
                raise result
        errors = [error for error in results if isinstance(error, XenkeepError)]
        if errors:
            raise next((error for error in errors if error.reason != _BROKEN), errors[0])
        self._passed("group:snapshots")
        group = replace(group, state=GroupState.TAKEN, spread_ms=together.spread_ms)
        await self._store.save(group)
        self._passed("group:taken")
        return group

    async def _member(self, source: Source, hooks: tuple[Hook, ...], together: Together) -> None:
        connection = self._pools.connection(source.pool_id)
        try:
            prepared = await self._preparing.prepare(connection, source)
            await self._captures.take(connection, source, hooks, prepared.left_out, together.turn())
        except BaseException as error:
            await together.give_up()
            if isinstance(error, XenkeepError):
                name = self._name(source)
                error.message = f"VM {name!r} of the group could not be captured. {error.message}"
            raise

    async def _failed(self, group: Group, error: XenkeepError) -> XenkeepError:
        """What every member is told from now on. The sources there are have to be closed."""
        failure = GroupFailure(error.kind, error.reason, error.message, error.hint)
        await self._store.save(replace(group, state=GroupState.FAILED, failure=failure))
        self._passed("group:failed")
        for member in group.members:
            source = await self._sources.get(member.source_id)
            if source is not None and source.reserved and source.state is SourceState.OPENING:
                await self._sources.save(replace(source, state=SourceState.CLOSING))
        return failure.error()

    def _name(self, source: Source) -> str:
        vm = self._pools.find(source.pool_id).picture.vms.get(source.vm_id)
        return vm.display_name if vm else source.vm_id
