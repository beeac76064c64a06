"""The site's queue of transfers."""

from xenkeep.mover.v1 import work_pb2

from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.work import Workers, WorkQueue
from services.chassis.clock import Clock
from services.chassis.errors import InvalidInput
from services.mover.adapters.machine_memory import MeasuredRoom
from services.mover.adapters.sql_books import WORK_KIND
from services.mover.app.worker import Worker
from services.mover.domain.names import checked_transfer_id
from services.mover.wire.spec import spec_from_proto


def transfer_workers(
    bus: Bus, site: str, worker: Worker, room: MeasuredRoom, lease_s: float, clock: Clock
) -> Workers[work_pb2.TransferRequested]:
    """A component that takes as many transfers at a time as there is room for; a mover that died keeps its
    own from the others for ``lease_s``.
    """

    async def handle(work: work_pb2.TransferRequested, _meta: Meta) -> None:
        transfer_id = checked_transfer_id(work.transfer_id)
        try:
            spec = spec_from_proto(work.spec)
        except InvalidInput as error:
            await worker.refuse(transfer_id, error)
            return
        await worker.handle(transfer_id, spec)

    queue = WorkQueue(bus, site, WORK_KIND, work_pb2.TransferRequested, clock=clock, lease_s=lease_s)
    return Workers(queue, handle, room.configured, admitted=lambda: room.now().transfers, clock=clock)
