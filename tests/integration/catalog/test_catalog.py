"""The catalog as a process, fed by a real NATS and a mover over real gRPC."""

import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from xenkeep.catalog.v1 import catalog_pb2, catalog_pb2_grpc, events_pb2
from xenkeep.mover.v1 import events_pb2 as mover_events
from xenkeep.mover.v1 import repository_pb2, transfer_pb2

from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.subscribe import tail
from services.chassis.errors import Unavailable
from services.chassis.rpc.channel import error_from_rpc
from tests.integration.scheduler.neighbours import REPOSITORY, SITE, Mover, point, serve_mover
from tests.integration.scheduler.scripted_mover import ScriptedMover
from tests.integration.scheduler.stack import ServiceProcess
from tests.support.nats import NatsServer
from tests.support.waiting import PATIENCE_S, until

READY: Any = {"timeout": 60, "wait_for_ready": True}
ONE, TWO, THREE = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")
RESOURCE = f"repositories/{REPOSITORY}"
EVENTS = [
    events_pb2.RestorePointAdded,
    events_pb2.RestorePointDamaged,
    events_pb2.RestorePointVerified,
    events_pb2.RestorePointRemoved,
]


@dataclass
class Stack:
    bus: Bus
    mover: Mover
    process: ServiceProcess
    since: datetime

    async def publish(self, *events: Message) -> None:
        for event in events:
            await ScriptedMover(self.bus).publish(event)

    async def heard(self, count: int) -> list[str]:
        """The first ``count`` events of the catalog, as ``Type id``."""
        seen: list[str] = []
        async with aclosing(tail(self.bus, EVENTS, since=self.since)) as stream:
            async for event, meta in stream:
                kind = type(event).__name__.removeprefix("RestorePoint")
                seen.append(f"{kind} {meta.subject.removeprefix('restorePoints/')[:1]}")
                if len(seen) == count:
                    break
        return seen

    @asynccontextmanager
    async def stub(self, caller: str = "admin") -> AsyncIterator[Any]:
        async with self.process.channel(caller) as way:
            yield catalog_pb2_grpc.RestorePointServiceStub(way)


@pytest.fixture
async def stack(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Stack]:
    mover = Mover()  # type: ignore[abstract]
    async with serve_mover(nats_server, mover) as server, nats_server.bus("mover") as bus:
        process = ServiceProcess("catalog", tmp_path, nats_server, {"mover": server.port})
        await process.start()
        yield Stack(bus, mover, process, datetime.now(UTC))
        await process.end()


def committed(point_id: str, second: int = 1) -> mover_events.PointCommitted:
    return mover_events.PointCommitted(point=point(point_id, second=second), repository_display_name="main")


def damage(*point_ids: str) -> mover_events.DamageFound:
    found = transfer_pb2.Damage(object="packs/3f", message="It is torn.", point_ids=point_ids)
    return mover_events.DamageFound(
        repository=RESOURCE, repository_display_name="main", damages=[found, found]
    )


def listed(point_id: str, damage: str = "") -> repository_pb2.ListPointsResponse:
    return repository_pb2.ListPointsResponse(point=point(point_id), damage_message=damage)


async def get(stub: Any, point_id: str) -> catalog_pb2.RestorePoint:
    request = catalog_pb2.GetRestorePointRequest(name=f"restorePoints/{point_id}")
    found: catalog_pb2.RestorePoint = await stub.GetRestorePoint(request, **READY)
    return found


async def names(stub: Any) -> list[str]:
    page = await stub.ListRestorePoints(catalog_pb2.ListRestorePointsRequest(), **READY)
    return [each.point.point_id for each in page.restore_points]


async def read(stub: Any) -> None:
    """Returns when the catalog has read all repositories."""

    async def look() -> bool:
        page = await stub.ListRestorePoints(catalog_pb2.ListRestorePointsRequest(), **READY)
        return not page.notices

    await until(look)


async def test_facts_about_points_become_the_catalog_and_its_events(stack: Stack) -> None:
    stack.mover.trouble = Unavailable("The repositories are being opened.", reason="NOT_OPEN_YET")
    sound = mover_events.RepositoryVerified(
        repository=RESOURCE, repository_display_name="main", full=True, sound_point_ids=[TWO]
    )
    await stack.publish(damage(ONE), committed(ONE), committed(ONE), committed(TWO, second=2), sound)
    assert await stack.heard(4) == ["Added 1", "Damaged 1", "Added 2", "Verified 2"]
    async with stack.stub() as stub:
        broken = await get(stub, ONE[:8])
        assert (broken.state, broken.state_message) == (
            catalog_pb2.RestorePoint.STATE_DAMAGED,
            "packs/3f: It is torn.",
        )
        whole = await get(stub, TWO)
        assert (whole.state, whole.repository_display_name, whole.HasField("verify_time")) == (
            catalog_pb2.RestorePoint.STATE_AVAILABLE,
            "main",
            True,
        )
        assert whole.point == point(TWO, second=2)
        first = await stub.ListRestorePoints(
            catalog_pb2.ListRestorePointsRequest(asset="web", repository="main", page_size=1),
            timeout=PATIENCE_S,
        )
        again = catalog_pb2.ListRestorePointsRequest(asset="web", page_token=first.next_page_token)
        second = await stub.ListRestorePoints(again, timeout=PATIENCE_S)
        pages = [[each.point.point_id for each in page.restore_points] for page in (first, second)]
        assert (pages, second.next_page_token) == ([[TWO], [ONE]], "")
        assets = await stub.ListAssets(catalog_pb2.ListAssetsRequest(), timeout=PATIENCE_S)
        assert [(each.asset.display_name, each.point_count) for each in assets.assets] == [("web", 2)]


@pytest.mark.scenario(45)
async def test_a_catalog_whose_database_is_deleted_comes_back_by_itself(stack: Stack) -> None:
    stack.mover.points = [listed(ONE), listed(TWO, "pack 3f is torn")]
    await stack.publish(committed(ONE))
    await stack.heard(1)
    await stack.process.end()
    shutil.rmtree(stack.process.directory / "catalog")
    stack.mover.trouble = Unavailable("The repositories are being opened.", reason="NOT_OPEN_YET")
    stack.since = datetime.now(UTC)
    await stack.process.start()
    async with stack.stub() as stub:
        unread = await stub.ListRestorePoints(catalog_pb2.ListRestorePointsRequest(), **READY)
        assert ([], {"REPOSITORY_UNREAD"}) == (
            list(unread.restore_points),
            {notice.code for notice in unread.notices},
        )
        stack.mover.trouble = None
        assert sorted(await stack.heard(3)) == ["Added 1", "Added 2", "Damaged 2"]
        assert await names(stub) == [TWO, ONE]
        assert (await get(stub, TWO)).state_message == "pack 3f is torn"


async def test_points_that_cannot_be_read_are_listed_damaged_also_by_a_new_catalog(stack: Stack) -> None:
    torn = repository_pb2.ListPointsResponse(damage_message="points/2 is damaged: it is torn.")
    torn.point.point_id, torn.point.repository_id = TWO, REPOSITORY
    nobodys = listed(THREE)
    nobodys.point.asset.Clear()
    stack.mover.points = [listed(ONE), torn, nobodys]
    async with stack.stub() as stub:
        assert sorted(await stack.heard(3)) == ["Added 1", "Damaged 2", "Damaged 3"]
        assert await names(stub) == [ONE, THREE, TWO]
        found = await get(stub, TWO)
    assert (found.state, found.state_message) == (
        catalog_pb2.RestorePoint.STATE_DAMAGED,
        "points/2 is damaged: it is torn.",
    )
    assert found.point == torn.point, "what is not known is empty"


async def test_a_repository_that_is_added_is_read_and_a_sync_removes_what_is_gone(stack: Stack) -> None:
    async with stack.stub() as stub:
        assert await names(stub) == []
        stack.mover.points = [listed(ONE), listed(TWO)]
        added = mover_events.RepositoryAdded(repository=RESOURCE, repository_display_name="main", site=SITE)
        await stack.publish(added)
        assert await stack.heard(2) == ["Added 1", "Added 2"]
        stack.mover.points = [listed(TWO), listed(THREE)]
        outcome = await stub.SyncRepository(
            catalog_pb2.SyncRepositoryRequest(repository="main"), timeout=PATIENCE_S
        )
        assert outcome.point_count == 2  # the reading that the event began may have found the others
        assert (await stack.heard(4))[2:] == ["Added 3", "Removed 1"]
        outcome = await stub.SyncRepository(
            catalog_pb2.SyncRepositoryRequest(repository=RESOURCE), timeout=PATIENCE_S
        )
        assert (outcome.point_count, outcome.added_count, outcome.removed_count) == (2, 0, 0)


async def test_a_deleted_point_leaves_the_catalog_and_comes_back_when_it_is_taken_back(stack: Stack) -> None:
    stack.mover.trouble = Unavailable("The repositories are being opened.", reason="NOT_OPEN_YET")
    expired = mover_events.PointExpired(
        repository=RESOURCE, repository_display_name="main", point_id=ONE, recoverable=True
    )
    back = mover_events.PointUndeleted(point=point(ONE), repository_display_name="main")
    await stack.publish(committed(ONE), committed(TWO, second=2), expired, committed(ONE))
    assert await stack.heard(3) == ["Added 1", "Added 2", "Removed 1"]
    async with stack.stub() as stub:
        assert await names(stub) == [TWO]
        await stack.publish(back)
        assert (await stack.heard(4))[3:] == ["Added 1"]
        assert sorted(await names(stub)) == sorted([ONE, TWO])


async def test_a_point_nobody_could_tell_from_others_does_not_stop_the_catalog(stack: Stack) -> None:
    await stack.publish(mover_events.PointCommitted(), committed(ONE))
    assert await stack.heard(1) == ["Added 1"]


async def test_hostile_requests_and_strangers_are_answered_not_obeyed(stack: Stack) -> None:
    async def refused(call: Any) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call
        return error_from_rpc(error.value).kind

    async with stack.stub() as stub:
        await read(stub)
        name = catalog_pb2.GetRestorePointRequest
        page = catalog_pb2.ListRestorePointsRequest
        assert (
            await refused(stub.GetRestorePoint(name(name="restorePoints/%%%%%%%%"), timeout=PATIENCE_S))
            == "NotFound"
        )
        assert await refused(stub.GetRestorePoint(name(name="runs/x"), timeout=PATIENCE_S)) == "InvalidInput"
        assert await refused(stub.GetRestorePoint(name(), timeout=PATIENCE_S)) == "InvalidInput"
        assert (
            await refused(stub.ListRestorePoints(page(page_token="x"), timeout=PATIENCE_S)) == "InvalidInput"
        )
        elsewhere = catalog_pb2.SyncRepositoryRequest(repository="elsewhere")
        assert await refused(stub.SyncRepository(elsewhere, timeout=PATIENCE_S)) == "NotFound"
    async with stack.stub("notifier") as stub:
        assert (
            await refused(stub.ListAssets(catalog_pb2.ListAssetsRequest(), timeout=PATIENCE_S))
            == "PermissionDenied"
        )
