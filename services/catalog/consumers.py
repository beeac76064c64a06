"""Which facts the catalog reacts to."""

from collections.abc import Callable, Mapping

from google.protobuf.message import Message
from xenkeep.mover.v1 import events_pb2

from services.catalog.app.projection import Projection
from services.catalog.ports import Work
from services.catalog.wire.damages import damages_by_point
from services.catalog.wire.names import id_in
from services.catalog.wire.point import point_from_proto
from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.consumer import Handler
from services.chassis.bus.readable import readable
from services.chassis.sql import Transaction


class Consumers:
    """Each handler unpacks, calls once, within the transaction that remembers the event."""

    def __init__(self, projection: Projection, work_on: Callable[[Transaction], Work]) -> None:
        self._projection, self._work_on = projection, work_on

    def table(self) -> Mapping[type[Message], Handler]:
        return {
            events_pb2.PointCommitted: self._committed,
            events_pb2.PointExpired: self._expired,
            events_pb2.PointUndeleted: self._undeleted,
            events_pb2.DamageFound: self._damaged,
            events_pb2.RepositoryVerified: self._verified,
            events_pb2.RepositoryAdded: self._repository_added,
        }

    async def _committed(self, tx: Transaction, event: events_pb2.PointCommitted, meta: Meta) -> None:
        with readable():
            point = point_from_proto(event.point)
        await self._projection.committed(self._work_on(tx), point, event.repository_display_name, meta.time)

    async def _expired(self, tx: Transaction, event: events_pb2.PointExpired, meta: Meta) -> None:
        await self._projection.expired(self._work_on(tx), event.point_id, meta.time)

    async def _undeleted(self, tx: Transaction, event: events_pb2.PointUndeleted, meta: Meta) -> None:
        with readable():
            point = point_from_proto(event.point)
        await self._projection.undeleted(self._work_on(tx), point, event.repository_display_name, meta.time)

    async def _damaged(self, tx: Transaction, event: events_pb2.DamageFound, meta: Meta) -> None:
        await self._projection.damaged(self._work_on(tx), damages_by_point(event.damages), meta.time)

    async def _verified(self, tx: Transaction, event: events_pb2.RepositoryVerified, meta: Meta) -> None:
        sound, damaged = event.sound_point_ids, event.damaged_point_ids
        await self._projection.verified(self._work_on(tx), sound, damaged, meta.time, full=event.full)

    async def _repository_added(self, tx: Transaction, event: events_pb2.RepositoryAdded, meta: Meta) -> None:
        with readable():
            repository_id = id_in(event.repository, "repositories")
        name = event.repository_display_name
        await self._projection.repository_added(self._work_on(tx), repository_id, name, meta.time)
