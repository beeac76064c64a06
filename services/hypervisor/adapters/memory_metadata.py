"""``ports.metadata`` of the pool in memory."""

import json
from collections.abc import AsyncIterator

from services.chassis.clock import Clock
from services.chassis.errors import NotFound, Unavailable
from services.chassis.ids import IdSource
from services.hypervisor.adapters.memory_objects import MemoryObjects


class MemoryMetadata(MemoryObjects):
    """Tests change what the pool would tell of itself."""

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        super().__init__(clock, ids)
        self.database_dump = b"<database/>"
        self.database_complete = True
        self.host_archives: dict[str, bytes] = {}

    async def hosts(self) -> tuple[tuple[str, str], ...]:
        return tuple((each, "host 1") for each in self.host_archives)

    async def description(self) -> bytes:
        return json.dumps({"SR": self.srs, "network": [{"name_label": "eth0"}]}).encode()

    async def database(self) -> AsyncIterator[bytes]:
        yield self.database_dump
        if not self.database_complete:
            raise Unavailable("The pool did not say that it was complete.", reason="POOL_UNREACHABLE")

    async def host_files(self, host_id: str) -> AsyncIterator[bytes]:
        if host_id not in self.host_archives:
            raise NotFound(f"There is no host {host_id}.", reason="HOST_UNKNOWN")
        yield self.host_archives[host_id]

    async def check_database(self, size_bytes: int, dump: AsyncIterator[bytes]) -> str:
        told = b"".join([piece async for piece in dump])
        return "" if told == self.database_dump else "RESTORE_INCOMPATIBLE_VERSION"
