"""A pool's metadata becomes a point of streams."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, NotFound, Unavailable
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.point_streams import PointStreams
from services.mover.app.pool_backup import PAUSE_S, TRIES, PoolBackupRunner
from services.mover.domain.facts import PointCommitted
from services.mover.domain.outcome import Outcome
from services.mover.domain.point import AssetKind
from services.mover.domain.pool_parts import PoolParts
from services.mover.domain.transfer import PoolBackup, Transfer
from services.mover.repository import BackupOptions
from tests.unit.mover.world import POOL, World, noise, transfer_id

DUMP = bytes(noise(3_000_000, 7))


class FakePools:
    """One pool of two parts; the first ``broken`` readings of the dump break off in the middle."""

    def __init__(self) -> None:
        self.broken = 0
        self.read_parts: list[str] = []

    async def parts(self, pool: str, *, hosts: bool) -> PoolParts:
        names = ("description.json", "database.xml", *(("host-1.tar",) if hosts else ()))
        return PoolParts(POOL, "lab", names)

    async def read(self, pool: str, part: str) -> AsyncIterator[bytes]:
        self.read_parts.append(part)
        if part != "database.xml":
            yield part.encode()
            return
        yield DUMP[:2_000_000]
        if self.broken:
            self.broken -= 1
            raise Unavailable("The coordinator moved.", reason="POOL_UNREACHABLE")
        yield DUMP[2_000_000:]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await World(tmp_path).open()
    async with made.shelf:
        yield made


@pytest.fixture
def pools() -> FakePools:
    return FakePools()


async def _saved(world: World, pools: FakePools, number: int = 1, *, hosts: bool = False) -> Outcome:
    runner = PoolBackupRunner(world.shelf, pools, lambda _: BackupOptions(), world.clock)
    spec = PoolBackup(POOL, "main", hosts=hosts, policy="pools", run="runs/1")
    transfer = Transfer(transfer_id(number), spec, world.clock.now(), attempt=1)
    return await runner(transfer, spec, Board(), Cancellation())


async def _paused(world: World, saving: asyncio.Future[Outcome], times: int) -> None:
    """It waits so often before it tries again."""
    for _ in range(times):
        await world.clock.until_sleeping()
        assert not saving.done()
        await world.clock.advance(PAUSE_S)


async def _stream(world: World, name: str) -> bytes:
    streams = PointStreams(world.shelf)
    return b"".join([piece async for piece in streams.read("main", transfer_id(1), name)])


async def test_every_part_is_a_stream_of_the_pools_point(world: World, pools: FakePools) -> None:
    outcome = await _saved(world, pools, hosts=True)
    point = outcome.result.point
    assert point is not None
    assert (AssetKind.POOL, "pool-1", "lab", "pools") == (
        point.asset.kind,
        point.asset.asset_id,
        point.asset.display_name,
        point.policy,
    )
    assert ["database.xml", "description.json", "host-1.tar"] == [each.name for each in point.streams]
    assert len(DUMP) + 26 == point.logical_bytes
    assert DUMP == await _stream(world, "database.xml")
    assert (PointCommitted(point, "main"),) == outcome.facts


async def test_a_part_that_broke_off_is_read_again_and_it_is_told(world: World, pools: FakePools) -> None:
    pools.broken = 1
    saving = asyncio.ensure_future(_saved(world, pools))
    await _paused(world, saving, times=1)
    point = (await saving).result.point
    assert point is not None
    assert ["PART_READ_AGAIN"] == [remark.code for remark in point.notices]
    assert DUMP == await _stream(world, "database.xml")


async def test_what_never_comes_whole_makes_no_point(world: World, pools: FakePools) -> None:
    pools.broken = 99
    saving = asyncio.ensure_future(_saved(world, pools))
    await _paused(world, saving, times=TRIES - 1)
    with pytest.raises(Unavailable):
        await saving
    with pytest.raises(NotFound):
        world.repository.get_point(transfer_id(1))
    pools.broken = 0
    assert (await _saved(world, pools)).result.point is not None


async def test_a_repeated_transfer_finds_its_point(world: World, pools: FakePools) -> None:
    first = await _saved(world, pools)
    read = len(pools.read_parts)
    assert first.result.point == (await _saved(world, pools)).result.point
    assert read == len(pools.read_parts)


async def test_what_did_not_change_is_stored_once(world: World, pools: FakePools) -> None:
    first = (await _saved(world, pools, 1)).result.point
    second = (await _saved(world, pools, 2)).result.point
    assert first is not None and second is not None
    assert second.stored_bytes < first.stored_bytes // 10


async def test_it_is_no_vm_and_a_vms_configuration_is_no_stream_to_export(
    world: World, pools: FakePools
) -> None:
    await _saved(world, pools, 1)
    with pytest.raises(FailedPrecondition) as refused:
        await world.restore(2, 1)
    assert "POINT_NOT_A_VM" == refused.value.reason
    await world.back_up(3)
    streams = PointStreams(world.shelf)
    with pytest.raises(NotFound):
        async for _ in streams.read("main", transfer_id(3), "vm-configuration"):
            pass
