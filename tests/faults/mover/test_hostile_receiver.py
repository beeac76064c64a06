"""A receiving mover that hangs or lies: the sender ends with an error, in bounded time and memory."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from xenkeep.mover.v1 import replica_pb2

from services.chassis.clock import FakeClock, SystemClock
from services.chassis.errors import DataLoss, Internal, Unavailable
from services.mover.adapters import grpc_replica
from services.mover.adapters.grpc_peer import PATIENCE_SECONDS, SILENCE_SECONDS
from services.mover.adapters.grpc_replica import GrpcReplica
from services.mover.adapters.pace import Pace, SharedLine
from services.mover.domain.rates import UNLIMITED
from services.mover.repository.format.names import PACKS
from tests.faults.mover.hostile_replica import HostileReplica, sent_to, taken
from tests.integration.mover.replica_site import MIB, ReplicaSite, SendingSite

PACK = bytes(24 * MIB)
"""More than a stream's window."""


def put(replica: GrpcReplica, size: int = len(PACK)) -> Awaitable[None]:
    pace = Pace(UNLIMITED, SharedLine(SystemClock()), threading.Event())
    data = memoryview(PACK)[:size]
    return replica.put("packs/data/00/" + "0" * 64, data, hashlib.sha256(data).digest(), pace)


async def takes_nothing(_: Any) -> AsyncIterator[Any]:
    yield taken(0)
    await asyncio.Event().wait()


async def takes_all_and_stores_nothing(requests: Any) -> AsyncIterator[Any]:
    yield taken(0)
    size = 0
    async for request in requests:
        size += len(request.data.data)
        yield taken(size)


async def says_the_same_again_and_again(requests: Any) -> AsyncIterator[Any]:
    yield taken(0)
    async for _ in requests:
        yield taken(1)


@pytest.mark.scenario(46)
@pytest.mark.parametrize(
    ("puts", "size"),
    [
        (None, len(PACK)),
        (None, 1000),
        (takes_nothing, len(PACK)),
        (takes_all_and_stores_nothing, len(PACK)),
        (takes_all_and_stores_nothing, 1000),
        (says_the_same_again_and_again, len(PACK)),
    ],
)
async def test_a_receiver_that_is_connected_and_hangs_is_given_up(
    tmp_path: Path, puts: Callable[[Any], AsyncIterator[Any]] | None, size: int
) -> None:
    clock, notices = FakeClock(), list[tuple[str, str]]()
    hostile = HostileReplica(puts=puts)
    async with sent_to(hostile, tmp_path, clock, notices) as replica:
        sending = asyncio.ensure_future(put(replica, size))
        await hostile.asked.get()
        await _until_given_up(sending, clock)
        with pytest.raises(Unavailable) as gave_up:
            await sending
    assert gave_up.value.reason == "REPLICA_UNREACHABLE"
    assert {code for code, _ in notices} == {"COPY_LINE_CUT"}
    assert "has not moved" in notices[0][1]
    assert clock.monotonic() >= PATIENCE_SECONDS


@pytest.mark.scenario(46)
@pytest.mark.parametrize("verb", ["list", "read"])
async def test_an_answer_that_does_not_come_is_given_up(tmp_path: Path, verb: str) -> None:
    clock, hostile = FakeClock(), HostileReplica()
    async with sent_to(hostile, tmp_path, clock, []) as replica:
        asking = asyncio.ensure_future(getattr(replica, verb)("points/"))
        assert await hostile.asked.get() == verb
        await _until_given_up(asking, clock)
        with pytest.raises(Unavailable):
            await asking


async def test_a_list_or_object_without_end_is_not_listened_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_replica, "MOST_LISTED", 5000)
    monkeypatch.setattr(grpc_replica, "MAX_OBJECT_BYTES", 4 * MIB)

    async def lists(_: Any) -> AsyncIterator[Any]:
        while True:
            some = [replica_pb2.Object(object=f"points/{number}") for number in range(1000)]
            yield replica_pb2.ListObjectsResponse(objects=some)

    async def reads(_: Any) -> AsyncIterator[Any]:
        offset = 0
        while True:
            yield replica_pb2.ReadObjectResponse(offset=offset, data=bytes(MIB))
            offset += MIB

    async with sent_to(HostileReplica(lists, reads), tmp_path, SystemClock(), []) as replica:
        for asking in (replica.list("points/"), replica.read("points/a")):
            with pytest.raises(DataLoss, match="no copy can hold"):
                await asking


async def test_a_list_of_something_else_is_not_believed(tmp_path: Path) -> None:
    async def lists(_: Any) -> AsyncIterator[Any]:
        yield replica_pb2.ListObjectsResponse(objects=[replica_pb2.Object(object="../../etc/passwd")])

    async with sent_to(HostileReplica(lists), tmp_path, SystemClock(), []) as replica:
        with pytest.raises(DataLoss, match="no copy can hold"):
            await replica.list("points/")


async def test_more_that_is_durable_than_there_is_is_not_believed(tmp_path: Path) -> None:
    async def puts(_: Any) -> AsyncIterator[Any]:
        yield taken(len(PACK) + 1)
        await asyncio.Event().wait()

    async with sent_to(HostileReplica(puts=puts), tmp_path, SystemClock(), []) as replica:
        with pytest.raises(Internal, match="says it has"):
            await put(replica)


@pytest.mark.parametrize("count", [0, 2])
async def test_outcomes_that_are_not_as_many_as_the_objects_are_of_none_of_them(
    tmp_path: Path, count: int
) -> None:
    stored = replica_pb2.PutObjectResponse.OUTCOME_STORED

    class Miscounting(HostileReplica):
        async def PutObjects(self, request: Any, context: Any) -> Any:
            return replica_pb2.PutObjectsResponse(outcomes=[stored] * count)

    async def puts(_: Any) -> AsyncIterator[Any]:
        yield replica_pb2.PutObjectResponse(durable_bytes=1000, outcome=stored)

    peer = Miscounting(puts=puts)
    async with sent_to(peer, tmp_path, SystemClock(), []) as replica:
        await put(replica, 1000)
    assert "put" == peer.asked.get_nowait(), "it was sent alone"


@pytest.mark.scenario(46)
async def test_hours_of_waiting_for_a_rate_do_not_count_as_hours_without_a_line(tmp_path: Path) -> None:
    clock, begun, cut = FakeClock(), asyncio.Event(), asyncio.Event()

    async def puts(requests: Any) -> AsyncIterator[Any]:
        if not begun.is_set():
            begun.set()
            async for _ in requests:
                await cut.wait()
                return  # the stream ends; before anything was durable
        async for _ in requests:
            yield replica_pb2.PutObjectResponse(
                durable_bytes=1000, outcome=replica_pb2.PutObjectResponse.OUTCOME_STORED
            )
            return

    async with sent_to(HostileReplica(puts=puts), tmp_path, clock, []) as replica:
        sending = asyncio.ensure_future(put(replica, 1000))
        await begun.wait()
        clock._elapsed += 2 * PATIENCE_SECONDS  # nobody is woken: the sender waits for its hour
        cut.set()
        await clock.until_sleeping()
        while not sending.done():
            await clock.advance(1)
        await sending


async def test_what_a_receiver_said_it_stored_and_did_not_is_found_by_a_verification_there(
    tmp_path: Path,
) -> None:
    sending, keeping = SendingSite(tmp_path / "sending"), ReplicaSite(tmp_path / "keeping")
    sending.back_up("a", 3 * MIB, 1)
    with sending.repository:
        async with keeping.serving() as address:
            assert (await sending.copy(address)).copied_points == ["a"]
        for number, pack in enumerate(sorted(keeping.copy(sending.repository).glob(f"{PACKS}*/*/*"))):
            pack.unlink() if number % 2 else pack.write_bytes(bytes(pack.stat().st_size))
        with keeping.opened(sending.repository, tmp_path / "cache") as copy:
            report = copy.verify(full=False)
            assert report.findings and report.sound_points == ()


async def _until_given_up(asking: "asyncio.Future[Any]", clock: FakeClock) -> None:
    """Time passes whenever everybody waits for it."""
    while not asking.done():
        sleeping = asyncio.ensure_future(clock.until_sleeping())
        await asyncio.wait({asking, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        sleeping.cancel()
        await clock.advance(SILENCE_SECONDS / 8)
