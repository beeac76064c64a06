"""Whoever may send a copy tries to take more than room for a copy, or to change what is there."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.mover.v1 import replica_pb2, replica_pb2_grpc

from services.chassis.clock import FakeClock, SystemClock
from services.chassis.errors import InvalidInput
from services.chassis.rpc.channel import channel, error_from_rpc
from services.mover.app import arrivals
from services.mover.app.arrivals import Arrivals
from services.mover.app.guests import Guests
from tests.integration.mover.replica_site import MIB, ReplicaSite, SendingSite
from tests.support.pki import tls_for
from tests.support.waiting import until_true

PARENT = "replicas/" + "ab" * 16
SHA256 = bytes(32)
NAME = "packs/data/00/" + "00" * 32


@asynccontextmanager
async def door(keeping: ReplicaSite) -> AsyncIterator[Any]:
    """The service as a stranger with a mover's certificate has it."""
    tls = tls_for(keeping.folder.parent / "pki", "mover")
    async with keeping.serving() as address, channel(address, tls) as way:
        yield replica_pb2_grpc.ReplicaServiceStub(way)


def start(size: int, sha256: bytes = SHA256, name: str = NAME) -> replica_pb2.PutObjectRequest:
    what = replica_pb2.PutObjectRequest.Start(parent=PARENT, object=name, size_bytes=size, sha256=sha256)
    return replica_pb2.PutObjectRequest(start=what)


def data(offset: int, size: int) -> replica_pb2.PutObjectRequest:
    return replica_pb2.PutObjectRequest(
        data=replica_pb2.PutObjectRequest.Data(offset=offset, data=bytes(size))
    )


async def refusal(call: Any) -> str:
    """The reason of what comes after the answers there are."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        while await call.read() is not grpc.aio.EOF:
            pass
    return error_from_rpc(refused.value).reason


@pytest.mark.scenario(43)
async def test_nothing_in_the_contract_replaces_renames_or_removes() -> None:
    service = replica_pb2.DESCRIPTOR.services_by_name["ReplicaService"]
    verbs = {"GetReplica", "ListObjects", "GetObject", "ReadObject", "PutObject", "ReleaseLease"}
    several = {"GetObjects", "PutObjects", "ReleaseLeases"}
    assert {method.name for method in service.methods} == verbs | several


@pytest.mark.scenario(43)
async def test_more_streams_than_there_is_room_for_are_refused_and_one_that_is_silent_makes_room(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    guests = Guests(clock, most=3, idle_s=60)
    keeping = ReplicaSite(tmp_path / "keeping", guests=guests)
    async with door(keeping) as stub:
        silent = stub.PutObject()  # not even what comes
        await until_true(lambda: guests.count == 1)
        await clock.advance(1)
        calls = [stub.PutObject() for _ in range(2)]
        for number, call in enumerate(calls):
            await call.write(start(5 * MIB, bytes([number]) * 32))
            assert (await call.read()).durable_bytes == 0
        await clock.advance(1)
        assert await refusal(stub.PutObject()) == "REPLICA_BUSY"
        await clock.advance(59)
        another = stub.PutObject()
        await another.write(start(5 * MIB, b"x" * 32))
        assert (await another.read()).durable_bytes == 0
        assert await refusal(silent) == "REPLICA_STREAM_IDLE"
        for call in calls:
            await call.write(data(0, MIB))  # they are not disturbed
            call.cancel()
        another.cancel()


@pytest.mark.scenario(43)
async def test_a_copy_goes_on_while_a_stranger_holds_every_place(tmp_path: Path) -> None:
    sending = SendingSite(tmp_path / "sending")
    sending.back_up("a", 3 * MIB, 1)
    keeping = ReplicaSite(tmp_path / "keeping", guests=Guests(SystemClock(), most=40, idle_s=0))
    tls = tls_for(tmp_path / "pki", "mover")
    with sending.repository:
        async with keeping.serving() as address, channel(address, tls) as way:
            stub: Any = replica_pb2_grpc.ReplicaServiceStub(way)
            strangers = [stub.PutObject() for _ in range(40)]
            await asyncio.gather(*(each.wait_for_connection() for each in strangers))
            assert (await sending.copy(address)).copied_points == ["a"]
            for each in strangers:
                each.cancel()


@pytest.mark.scenario(43)
@pytest.mark.parametrize(
    ("size", "parts", "reason"),
    [
        (2 * MIB, [(0, MIB), (MIB, MIB), (2 * MIB, 1)], ""),
        (2 * MIB, [(0, MIB), (MIB, MIB - 1), (2 * MIB - 1, 2)], "REPLICA_OUT_OF_ORDER"),
        (100, [(0, 101)], "REPLICA_OUT_OF_ORDER"),
        (3 * MIB, [(0, 2 * MIB)], "REPLICA_OUT_OF_ORDER"),
        (3 * MIB, [(MIB, MIB)], "REPLICA_OUT_OF_ORDER"),
        (3 * MIB, [(0, 0)], "REPLICA_OUT_OF_ORDER"),
        (1 << 60, [], "REPLICA_OBJECT_IMPOSSIBLE"),
        (0, [], "REPLICA_OBJECT_IMPOSSIBLE"),
    ],
)
async def test_an_object_is_never_larger_than_announced_nor_than_any_can_be(
    tmp_path: Path, size: int, parts: list[tuple[int, int]], reason: str
) -> None:
    keeping = ReplicaSite(tmp_path / "keeping")
    async with door(keeping) as stub:
        call = stub.PutObject()
        await call.write(start(size))
        for offset, length in parts:
            try:
                await call.write(data(offset, length))
            except asyncio.InvalidStateError:
                break  # refused already
        assert await refusal(call) == (reason or "REPLICA_ARRIVED_WRONG")
    assert sum(file.stat().st_size for file in keeping.arriving.glob("*/*")) <= 2 * MIB
    assert not [file for file in keeping.copies.rglob("*") if file.is_file()]


@pytest.mark.scenario(43)
async def test_names_and_headers_without_measure_are_refused_and_the_door_stays_open(tmp_path: Path) -> None:
    keeping = ReplicaSite(tmp_path / "keeping")
    async with door(keeping) as stub:
        for name in ("points/" + "a" * 200, "points/" + "a" * MIB, "points/a\0b", "points/../../x", "", "/"):
            call = stub.PutObject()
            await call.write(start(10, name=name))
            assert await refusal(call) == "REPLICA_NAME_REFUSED"
        loud = stub.PutObject(metadata=[("x", "y" * 4 * MIB)])
        with pytest.raises(grpc.aio.AioRpcError):
            await loud.read()
        request = replica_pb2.GetReplicaRequest(name=PARENT)
        assert (await stub.GetReplica(request)).free_bytes > 0


@pytest.mark.scenario(43)
async def test_what_is_wrong_among_many_small_objects_is_not_taken_and_nothing_but_leases_is_removed(
    tmp_path: Path,
) -> None:
    def small(name: str, content: bytes, sha256: bytes | None = None) -> replica_pb2.SmallObject:
        digest = hashlib.sha256(content).digest() if sha256 is None else sha256
        return replica_pb2.SmallObject(object=name, data=content, sha256=digest)

    keeping = ReplicaSite(tmp_path / "keeping")
    flag = "features/optional.x"
    stored, exists, refused = (
        replica_pb2.PutObjectResponse.Outcome.Value(f"OUTCOME_{name}")
        for name in ("STORED", "EXISTS", "UNSPECIFIED")
    )
    async with door(keeping) as stub:
        sent = [
            (small("../x", b"x"), refused),
            (small("prune/x", b"x"), refused),
            (small(NAME, bytes(100)), refused),
            (small("points/x", b"x"), refused),
            (small("features/optional.y", b"1", SHA256), refused),
            (small(flag, b"1"), stored),
            (small("points/y", bytes(MIB + 1)), refused),
        ]
        request = replica_pb2.PutObjectsRequest(parent=PARENT, objects=[one for one, _ in sent])
        assert (await stub.PutObjects(request)).outcomes == [outcome for _, outcome in sent]
        again = replica_pb2.PutObjectsRequest(parent=PARENT, objects=[small(flag, b"2")])
        assert (await stub.PutObjects(again)).outcomes == [exists]
        for call, reason in (
            (
                stub.PutObjects(
                    replica_pb2.PutObjectsRequest(parent=PARENT, objects=[small(flag, b"1")] * 65)
                ),
                "REPLICA_TOO_MANY",
            ),
            (
                stub.GetObjects(replica_pb2.GetObjectsRequest(parent=PARENT, objects=[flag] * 257)),
                "REPLICA_TOO_MANY",
            ),
            (
                stub.GetObjects(replica_pb2.GetObjectsRequest(parent=PARENT, objects=["../x"])),
                "REPLICA_NAME_REFUSED",
            ),
            (
                stub.ReleaseLeases(
                    replica_pb2.ReleaseLeasesRequest(parent=PARENT, objects=["leases/a/00000001", flag])
                ),
                "REPLICA_NOT_REMOVED",
            ),
            (
                stub.PutObjects(
                    replica_pb2.PutObjectsRequest(parent="replicas/../..", objects=[small(flag, b"1")])
                ),
                "REPLICA_ID_INVALID",
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await call
            assert error_from_rpc(told.value).reason == reason
    files = [file for file in keeping.folder.rglob("*") if file.is_file()]
    assert [(file.name, file.read_bytes()) for file in files] == [("optional.x", b"1")]


@pytest.mark.scenario(43)
def test_ever_new_objects_that_never_end_take_the_place_of_the_oldest_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "MOST_HALF", 4)
    all_ = Arrivals(tmp_path, SystemClock())
    held = all_.begin("ab" * 16, 2 * MIB, b"h" * 32)
    held.take(0, bytes(MIB))
    for number in range(12):
        some = all_.begin(f"{number % 3:032x}", 2 * MIB, bytes([number]) * 32)
        some.take(0, b"x")
        some.close()
        assert len(list(tmp_path.glob("*/*"))) <= 5
    held.take(MIB, bytes(MIB))
    with pytest.raises(InvalidInput):
        held.take(2 * MIB, b"x")
    assert held.durable == 2 * MIB
