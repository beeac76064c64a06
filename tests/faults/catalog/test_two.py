"""Two catalogs on one PostgreSQL: both read, both hear, and each point is told of once."""

import asyncio
import signal
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

from xenkeep.catalog.v1 import catalog_pb2, catalog_pb2_grpc, events_pb2
from xenkeep.mover.v1 import events_pb2 as mover_events
from xenkeep.mover.v1 import repository_pb2

from services.chassis.bus.subscribe import tail
from tests.integration.scheduler.neighbours import Mover, point, serve_mover
from tests.integration.scheduler.scripted_mover import ScriptedMover
from tests.integration.scheduler.stack import ServiceProcess
from tests.support.nats import NatsServer
from tests.support.waiting import PATIENCE_S

COUNT = 300
LAST = "ffffffff-0000"


async def test_two_catalogs_tell_of_each_point_once_and_one_goes_on_alone(
    nats_server: NatsServer, tmp_path: Path, fresh_database: str
) -> None:
    since = datetime.now(UTC)
    mover = Mover()  # type: ignore[abstract]
    ids = [f"{number:08}-0000" for number in range(COUNT)]
    mover.points = [repository_pb2.ListPointsResponse(point=point(each)) for each in ids]
    async with serve_mover(nats_server, mover) as server, nats_server.bus("mover") as bus:
        twins = [ServiceProcess("catalog", tmp_path, nats_server, {"mover": server.port}) for _ in range(2)]
        for twin in twins:  # at the same moment: both find an empty database to migrate
            twin.env["XENKEEP_DATABASE_URL"] = fresh_database
            await twin.start()
        told: list[str] = []
        async with aclosing(tail(bus, [events_pb2.RestorePointAdded], since=since)) as stream:

            async def hear(until: int) -> None:
                async with asyncio.timeout(PATIENCE_S):
                    while len(told) < until:
                        event, _ = await anext(stream)
                        told.append(event.restore_point.point.point_id)

            for each in ids[::3]:
                await ScriptedMover(bus).publish(mover_events.PointCommitted(point=point(each)))
            await hear(COUNT)
            for twin in twins:
                async with twin.channel() as way:
                    stub = catalog_pb2_grpc.RestorePointServiceStub(way)
                    request = catalog_pb2.ListRestorePointsRequest()
                    page = await stub.ListRestorePoints(request, timeout=PATIENCE_S, wait_for_ready=True)
                    assert sorted(each.point.point_id for each in page.restore_points) == ids
            await twins[0].end(signal.SIGKILL)
            await ScriptedMover(bus).publish(mover_events.PointCommitted(point=point(LAST)))
            await hear(COUNT + 1)
        await twins[1].end()
    assert sorted(told) == [*ids, LAST]
