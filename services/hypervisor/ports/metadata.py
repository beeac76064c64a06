"""What a pool is beside its VMs."""

from collections.abc import AsyncIterator
from typing import Protocol


class PoolMetadata(Protocol):
    """Reads, and asks; nothing of the pool is changed. Streams raise before their end when they are not
    complete: what came before is of no use then."""

    async def hosts(self) -> tuple[tuple[str, str], ...]:
        """(UUID, name) of the live hosts."""
        ...

    async def description(self) -> bytes:
        """JSON a person can read, without passwords."""
        ...

    def database(self) -> AsyncIterator[bytes]:
        """A dump of the pool's database; it holds secrets. Raises PermissionDenied unless the account is a
        pool administrator's."""
        ...

    def host_files(self, host_id: str) -> AsyncIterator[bytes]:
        """A tar of a host's control domain; raises NotFound HOST_UNKNOWN, and as ``database``."""
        ...

    async def check_database(self, size_bytes: int, dump: AsyncIterator[bytes]) -> str:
        """Why the pool would not take a dump back, "" when it would. Nothing is restored."""
        ...
