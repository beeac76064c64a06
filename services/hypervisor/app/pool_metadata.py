"""A pool's metadata, part by part."""

from collections.abc import AsyncIterator

from services.hypervisor.app.pools import Pools
from services.hypervisor.domain.pool import Pool
from services.hypervisor.domain.pool_parts import DATABASE, DESCRIPTION, PoolPart, host_of, parts_of

PIECE_BYTES = 1 << 20


class PoolMetadata:
    """One method per verb. Nothing is kept here: a reader that dies begins a part again."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    async def parts(self, pool: str, *, hosts: bool) -> tuple[Pool, tuple[PoolPart, ...]]:
        """Raises NotFound POOL_UNKNOWN."""
        watch = self._pools.find(pool)
        return watch.pool, parts_of(await watch.connection.hosts() if hosts else ())

    async def read(self, pool: str, part: str) -> AsyncIterator[bytes]:
        """Pieces of PIECE_BYTES at most. Raises NotFound PART_UNKNOWN, and as ports.metadata."""
        connection = self._pools.find(pool).connection
        if part == DESCRIPTION:
            pieces = _once(await connection.description())
        else:
            pieces = connection.database() if part == DATABASE else connection.host_files(host_of(part))
        async for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                yield piece[start : start + PIECE_BYTES]

    async def check_database(self, pool: str, size_bytes: int, dump: AsyncIterator[bytes]) -> str:
        """See ports.metadata."""
        return await self._pools.find(pool).connection.check_database(size_bytes, dump)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
