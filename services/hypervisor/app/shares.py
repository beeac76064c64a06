"""The ledger of NBD connections: what each open source was told it may use of each host.

It is kept with the sources, so a share is given back when its source is closed, by whomever, and is still
counted after this service died; one that nobody renews lapses. Whoever holds more than is fair since others
came gets less when it asks again, which a mover does every minute; newcomers have what is left until then.
"""

from dataclasses import replace
from datetime import timedelta

from services.chassis.clock import Clock
from services.hypervisor.app.steps import Locks
from services.hypervisor.domain.shares import room_left, share_out
from services.hypervisor.domain.source import Source, SourceState
from services.hypervisor.ports.readers import NbdEndpoint
from services.hypervisor.ports.stores import SourceStore

HELD_FOR = timedelta(minutes=10)
"""A source nobody has asked about for so long is not read: its mover died."""

Endpoints = dict[str, tuple[NbdEndpoint, ...]]


class Shares:
    """``per_host`` connections of each host are ours to share out."""

    def __init__(self, store: SourceStore, per_host: int, clock: Clock) -> None:
        self._store = store
        self._per_host = per_host
        self._clock = clock
        self._locks = Locks()

    async def of(self, pool_id: str, source_id: str, wanted: int, endpoints: Endpoints) -> Endpoints:
        """The endpoints (by disk) a source may use now, each with its host's share; the roomiest first."""
        async with self._locks.of(pool_id):
            disks = [{endpoint.host_id for endpoint in each} for each in endpoints.values()]
            share = share_out(wanted, self._per_host, disks, await self._held(pool_id, source_id))
            await self._store.note_share(source_id, tuple(sorted(share.items())), self._clock.now())
        return {
            disk: tuple(
                replace(endpoint, max_connections=share[endpoint.host_id])
                for endpoint in sorted(each, key=lambda each: -share.get(each.host_id, 0))
                if endpoint.host_id in share
            )
            for disk, each in endpoints.items()
        }

    async def room_left(self, pool_id: str, source_id: str, hosts: frozenset[str]) -> bool:
        """Whether one more source can be read through any of ``hosts``."""
        return room_left(self._per_host, hosts, await self._held(pool_id, source_id))

    async def _held(self, pool_id: str, besides: str) -> list[dict[str, int]]:
        return [
            dict(source.share)
            for source in await self._store.unfinished(pool_id)
            if source.source_id != besides and source.state is SourceState.OPEN and self._is_read(source)
        ]

    def _is_read(self, source: Source) -> bool:
        return source.share_time is not None and self._clock.now() - source.share_time < HELD_FOR
