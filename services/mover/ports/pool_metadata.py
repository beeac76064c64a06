"""What the hypervisor service tells of a pool beside its VMs."""

from collections.abc import AsyncIterator
from typing import Protocol

from services.mover.domain.pool_parts import PoolParts


class PoolMetadata(Protocol):
    """Reads only; a part that broke off is read again from its beginning."""

    async def parts(self, pool: str, *, hosts: bool) -> PoolParts:
        """Raises NotFound for a pool nobody knows."""
        ...

    def read(self, pool: str, part: str) -> AsyncIterator[bytes]:
        """Raises before its end when it is not complete; PermissionDenied, Unavailable."""
        ...
