"""The site's queue of transfers."""

from xenkeep.mover.v1 import work_pb2

from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.work import Workers, WorkQueue
from services.chassis.clock import Clock
from services.mover.adapters.sql_books import WORK_KIND
from services.mover.app.worker import Worker
from services.mover.wire.spec import spec_from_proto

LEASE_SECONDS = 20.0
"""How long a mover that died keeps its transfers from the others."""


def transfer_workers(
    bus: Bus, site: str, worker: Worker, room: int, clock: Clock
) -> Workers[work_pb2.TransferRequested]:
    """A component that takes up to ``room`` transfers at a time."""

    async def handle(work: work_pb2.TransferRequested, _meta: Meta) -> None:
        await worker.handle(work.transfer_id, spec_from_proto(work.spec))

    queue = WorkQueue(bus, site, WORK_KIND, work_pb2.TransferRequested, clock=clock, lease_s=LEASE_SECONDS)
    return Workers(queue, handle, room)
