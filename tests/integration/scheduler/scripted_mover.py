"""A mover that moves nothing and keeps to the contract: takes real work, publishes real events."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from google.protobuf.message import Message
from xenkeep.common.v1 import capture_pb2
from xenkeep.mover.v1 import events_pb2, transfer_pb2, work_pb2

from services.chassis.bus import cloudevents, subjects
from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.work import Workers, WorkQueue
from services.chassis.ids import RandomIds
from tests.integration.scheduler.neighbours import SITE, point

Script = Callable[["ScriptedMover", work_pb2.TransferRequested], Awaitable[None]]


class ScriptedMover:
    """``received`` are the pieces of work in order, each delivery; ``script`` plays each of them."""

    def __init__(self, bus: Bus, script: Script | None = None) -> None:
        self._bus = bus
        self._script = script or succeed
        self.received: list[work_pb2.TransferRequested] = []
        self.has_received = asyncio.Event()

    async def serve(self) -> None:
        queue = WorkQueue(self._bus, SITE, "transfer", work_pb2.TransferRequested)
        async with Workers(queue, self._handle, room=8) as workers:
            await workers.run()

    async def publish(self, event: Message, event_id: str = "") -> None:
        envelope = cloudevents.wrap(
            event,
            id=event_id or RandomIds().new(),
            source=cloudevents.source_of("mover"),
            subject_id="",
            time=datetime.now(UTC),
        )
        subject = subjects.of_event(type(event))
        await self._bus.publish(subject, envelope.body, envelope.headers, envelope.id)

    async def _handle(self, work: work_pb2.TransferRequested, meta: Meta) -> None:
        self.received.append(work)
        self.has_received.set()
        await self._script(self, work)


def transfer(work: work_pb2.TransferRequested) -> str:
    return f"transfers/{work.transfer_id}"


async def succeed(mover: ScriptedMover, work: work_pb2.TransferRequested) -> None:
    """Start, move on, finish with a point and a notice."""
    name = transfer(work)
    await mover.publish(events_pb2.TransferStarted(transfer=name, attempt=1))
    progress = transfer_pb2.Progress(total_bytes=10, done_bytes=5, activity="Reads")
    await mover.publish(events_pb2.TransferProgressed(transfer=name, progress=progress))
    result = transfer_pb2.TransferResult(seconds=1.5)
    if work.spec.HasField("backup"):
        result.point.CopyFrom(point(work.transfer_id, work.spec.backup.vm.rpartition("uuid-")[2]))
        result.notices.add(code="FULL_INSTEAD", message="A full was taken: first backup.")
        await mover.publish(events_pb2.PointCommitted(point=result.point, repository_display_name="main"))
    else:
        result.vm = "pools/pool-1/vms/restored"
    await mover.publish(events_pb2.TransferFinished(transfer=name, result=result), f"{name}-finished")


async def hang(mover: ScriptedMover, work: work_pb2.TransferRequested) -> None:
    """Start, and say nothing more."""
    await mover.publish(events_pb2.TransferStarted(transfer=transfer(work), attempt=1))


def fail_first(retryable: bool) -> Script:
    """The first transfer fails after a host hung up, the others succeed."""
    failed: set[str] = set()

    async def script(mover: ScriptedMover, work: work_pb2.TransferRequested) -> None:
        if failed and work.transfer_id not in failed:
            return await succeed(mover, work)
        failed.add(work.transfer_id)
        failure = capture_pb2.Failure(kind="Unavailable", reason="HOST_GONE", message="The host is gone.")
        lost = capture_pb2.Notice(code="NBD_CONNECTION_LOST", message="host-1 hung up.")
        event = events_pb2.TransferFailed(
            transfer=transfer(work), failure=failure, retryable=retryable, notices=[lost]
        )
        await mover.publish(event, f"{transfer(work)}-failed")
        return None

    return script
