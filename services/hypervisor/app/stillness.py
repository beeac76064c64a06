"""Keeping a VM, or its disks, where they are while a source of it needs that.

A pool takes a snapshot's disks along when it moves those of the VM. One that is off could lose sight of a
disk that arrives while its snapshot is read; copies of a snapshot that is being removed would bear no mark of
ours. What is blocked names its source. Killed between, the close or the janitor takes the blocks off.
"""

from functools import partial

from services.chassis.errors import PermissionDenied
from services.hypervisor.app.steps import Passed
from services.hypervisor.domain.care import Moves
from services.hypervisor.domain.motion import may_move
from services.hypervisor.domain.source import Source, SourceState
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.stores import SourceStore


class Stillness:
    """Blocks and allows in the name of sources; each step may be repeated."""

    def __init__(self, store: SourceStore, passed: Passed) -> None:
        self._store = store
        self._passed = passed

    async def keep(self, connection: PoolConnection, source: Source) -> None:
        """For a source that is read: what its policy wants blocked, or moves of disks if the VM is off."""
        if source.options.block_migrations:
            await connection.block_migrations(source.vm_id, source.source_id, Moves.ANY)
        elif await connection.is_off(source.vm_id):
            await connection.block_migrations(source.vm_id, source.source_id, Moves.OF_DISKS)

    async def reached(self, connection: PoolConnection, source: Source) -> bool:
        """For a source that is closed: whether no disk of its snapshot is on the move, and none will be
        before ``end``. What is moving already is not hindered. A pool that lets us block nothing is told of,
        and does not keep us from removing the snapshot."""
        if not source.disks and not await connection.find_disks(source.source_id):
            return True  # it never had a snapshot
        if await connection.moves_disks(source.vm_id):
            return False
        try:
            await connection.block_migrations(source.vm_id, source.source_id, Moves.OF_DISKS)
        except PermissionDenied as error:
            await self._store.revise(source.source_id, partial(may_move, why=str(error)))
        self._passed("close:blocked")
        return not await connection.moves_disks(source.vm_id)

    async def end(self, connection: PoolConnection, source: Source) -> None:
        """It needs nothing any more. An operation bears one block: other sources of the VM that relied on
        this one's get their own."""
        await connection.allow_migrations(source.vm_id, source.source_id)
        for other in await self._store.unfinished(source.pool_id):
            if other.vm_id == source.vm_id and other.state is SourceState.OPEN:
                await self.keep(connection, other)
