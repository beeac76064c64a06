"""What the hypervisor service tells of a source after it was opened: on the point, or at least in the run."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from services.chassis.errors import Cancelled, DataLoss, Unavailable
from services.mover.adapters.memory_hypervisor import MemorySnapshotDisk
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.domain import Notice
from services.mover.domain.capture import Method, Remark
from services.mover.domain.source import Source
from services.mover.domain.transfer import Backup, Transfer
from services.mover.ports.neighbours import ReadableDisk
from tests.unit.mover.world import POOL, VM, World, transfer_id

MOVED = Remark("SNAPSHOT_MOVED", "Disk 'root' was moved.")
WAITS = Remark("SNAPSHOT_WAITS", "The snapshot is removed later.")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await World(tmp_path).open()
    async with made.shelf:
        yield made


async def test_what_happened_while_a_disk_was_read_is_on_the_point_and_in_the_result_once(
    world: World,
) -> None:
    world.hypervisor.happened = (MOVED,)
    for _ in range(2):  # the second time the point is there already
        result = (await world.back_up()).result
        assert result.point is not None
        assert (MOVED,) == result.point.notices == result.notices


async def test_what_becomes_known_after_the_commit_is_in_the_result(world: World) -> None:
    world.hypervisor.happened, world.hypervisor.happened_late = (MOVED,), (WAITS,)
    result = (await world.back_up()).result
    assert result.point is not None
    assert ((MOVED,), (MOVED, WAITS)) == (result.point.notices, result.notices)
    again = (await world.back_up()).result
    assert result.notices == again.notices


class Telling:
    """Disks that hear of it when they ask where they are; ``error`` breaks them."""

    def __init__(self, world: World, error: Exception | None = None) -> None:
        self.world, self.error = world, error

    async def sources(self, source: Source, connections: int) -> Mapping[str, ReadableDisk]:
        telling = self

        class Disk(MemorySnapshotDisk):
            def read_into(self, offset: int, buffer: memoryview) -> None:
                if telling.error is not None:
                    raise telling.error
                super().read_into(offset, buffer)

            def notices(self) -> tuple[Notice, ...]:
                return (Notice(MOVED.code, MOVED.message),)

        content = self.world.hypervisor.content
        return {disk.disk_id: Disk(content(disk.tracking_ref)) for disk in source.disks}


async def test_told_with_every_disk_it_is_on_the_point_once(world: World) -> None:
    world.disks = Telling(world)  # type: ignore[assignment]
    world.hypervisor.happened = (MOVED,)
    point = (await world.back_up()).result.point
    assert point is not None
    assert (MOVED,) == point.notices


async def _backed_up(world: World, board: Board, cancel: Cancellation) -> None:
    spec = Backup(VM, "main", Method.NORMAL)
    transfer = Transfer(transfer_id(1), spec, world.clock.now(), attempt=1)
    await world.backup_runner()(transfer, spec, board, cancel)


async def test_a_backup_that_fails_tells_it_too(world: World) -> None:
    world.disks = Telling(world, DataLoss("The disk gives no bytes.", reason="NBD_IO_ERROR"))  # type: ignore[assignment]
    world.hypervisor.happened_late = (WAITS,)
    board = Board()
    with pytest.raises(DataLoss):
        await _backed_up(world, board, Cancellation())
    assert (MOVED, WAITS) == board.all_remarks()


async def test_that_nobody_can_say_what_happened_fails_no_backup_and_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(source: str) -> Sequence[Remark]:
        raise Unavailable("The hypervisor service is away.", reason="AWAY")

    monkeypatch.setattr(world.hypervisor, "review_source", away)
    point = (await world.back_up()).result.point
    assert point is not None
    [remark] = point.notices
    assert ("SOURCE_NOT_REVIEWED", True) == (remark.code, "is away" in remark.message)


async def test_cancelled_while_nobody_answers_it_makes_no_point(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never(source: str) -> Sequence[Remark]:
        asked.set()
        return await asyncio.Future[Sequence[Remark]]()

    monkeypatch.setattr(world.hypervisor, "review_source", never)
    cancel = Cancellation()
    running = asyncio.create_task(_backed_up(world, Board(), cancel))
    await asked.wait()
    cancel.request()
    with pytest.raises(Cancelled):
        await running
    assert {f"{POOL}/backupSources/{transfer_id(1)}": False} == world.hypervisor.closed
    assert [] == world.repository.list_points()
