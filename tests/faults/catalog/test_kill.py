"""The catalog killed while it reads a repository: it ends up complete, and tells of each point once."""

import asyncio
import signal
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from xenkeep.catalog.v1 import catalog_pb2, catalog_pb2_grpc, events_pb2
from xenkeep.mover.v1 import repository_pb2

from services.chassis.bus.subscribe import tail
from tests.integration.scheduler.neighbours import Mover, point, serve_mover
from tests.integration.scheduler.stack import ServiceProcess
from tests.support.nats import NatsServer
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.scenario(45)

MORTAL = "tests.faults.scheduler.mortal"
COUNT = 500


@pytest.mark.parametrize("die_at", ["after:1", "before:3", "after:4", "before:5"])
async def test_killed_while_reading_a_repository_it_still_ends_up_complete(
    nats_server: NatsServer, tmp_path: Path, die_at: str
) -> None:
    since = datetime.now(UTC)
    mover = Mover()  # type: ignore[abstract]
    ids = [f"{number:08}-0000" for number in range(COUNT)]
    mover.points = [repository_pb2.ListPointsResponse(point=point(each)) for each in ids]
    async with serve_mover(nats_server, mover) as server, nats_server.bus("mover") as bus:
        process = ServiceProcess("catalog", tmp_path, nats_server, {"mover": server.port})
        await process.start(MORTAL, DIE_AT=die_at)
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == -signal.SIGKILL
        await process.start(MORTAL)
        told = []
        async with aclosing(tail(bus, [events_pb2.RestorePointAdded], since=since)) as stream:
            async for event, _ in stream:
                told.append(event.restore_point.point.point_id)
                if len(told) == COUNT:
                    break
        assert sorted(told) == ids
        async with process.channel() as way:
            stub = catalog_pb2_grpc.RestorePointServiceStub(way)
            request = catalog_pb2.ListRestorePointsRequest()
            page = await stub.ListRestorePoints(request, timeout=PATIENCE_S, wait_for_ready=True)
            assert sorted(each.point.point_id for each in page.restore_points) == ids
        await process.end()
