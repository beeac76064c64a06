import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.errors import (
    Aborted,
    Cancelled,
    DataLoss,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Unavailable,
)
from services.mover.adapters.memory_hypervisor import MemorySnapshotDisk
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.app.point_records import read_point
from services.mover.app.shelf import Shelf
from services.mover.domain.capture import DiskKind, FullReason, GroupMoment, Level, Method
from services.mover.domain.facts import PointCommitted
from services.mover.domain.source import Base, Source
from services.mover.domain.transfer import Backup, Compression, Transfer
from services.mover.ports.neighbours import ReadableDisk
from services.mover.repository.format.names import HEADER
from tests.unit.mover.world import CHUNK, POOL, VM, PlainSealing, World, transfer_id


def source(number: int) -> str:
    return f"{POOL}/backupSources/{transfer_id(number)}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await World(tmp_path).open()
    async with made.shelf:
        yield made


class Breaking:
    """Disks of which every read beyond ``good`` bytes does what it is told to."""

    def __init__(self, world: World, good: int, error: Exception) -> None:
        self.world, self.good, self.error = world, good, error

    async def sources(self, source: Source, connections: int) -> Mapping[str, ReadableDisk]:
        breaking = self

        class Disk(MemorySnapshotDisk):
            def read_into(self, offset: int, buffer: memoryview) -> None:
                if offset >= breaking.good:
                    breaking.reached()
                    raise breaking.error
                super().read_into(offset, buffer)

        content = self.world.hypervisor.content
        return {disk.disk_id: Disk(content(disk.tracking_ref)) for disk in source.disks}

    def reached(self) -> None:
        """The point of failure."""

    targets = None


async def test_a_mover_that_starts_where_the_header_of_a_repository_in_service_is_lost_backs_up_to_it(
    world: World,
) -> None:
    """Such as after one that was killed between deleting a damaged header and putting it again."""
    header = world.store.objects.pop(HEADER)
    again = Shelf(world.books, PlainSealing(), world.places, world.directory / "again")
    world.places.stores["memory:"] = world.store
    async with again:
        await again.repository(world.repository.repository_id)
        world.shelf = again
        outcome = await world.back_up()
    assert outcome.result.point is not None
    assert header == world.store.objects[HEADER]


async def test_a_first_backup_is_full_commits_a_point_and_closes_its_source(world: World) -> None:
    outcome = await world.back_up()
    point = outcome.result.point
    assert point is not None
    assert (transfer_id(1), Level.FULL, "", "nightly", "runs/1") == (
        point.point_id,
        point.level,
        point.base_point_id,
        point.policy,
        point.run,
    )
    assert [FullReason.FIRST_BACKUP] * 2 == [disk.full_reason for disk in point.disks]
    assert (PointCommitted(point, "main"),) == outcome.facts
    assert {source(1): True} == world.hypervisor.closed


async def test_the_next_one_reads_what_changed_and_restores_the_same_bytes(world: World) -> None:
    await world.back_up(1)
    world.hypervisor.disks["disk-a"][CHUNK : CHUNK + 10] = b"0123456789"
    point = (await world.back_up(2)).result.point
    assert point is not None
    assert (Level.INCREMENTAL, transfer_id(1), CHUNK) == (point.level, point.base_point_id, point.read_bytes)
    await world.restore(3, 2)
    assert world.now() == world.restored(3)


async def test_asked_for_a_full_it_says_so(world: World) -> None:
    await world.back_up(1)
    point = (await world.back_up(2, full=True)).result.point
    assert point is not None
    assert {FullReason.REQUESTED} == {disk.full_reason for disk in point.disks}


async def test_delivered_again_after_the_commit_it_finds_the_point_and_reports_it(world: World) -> None:
    first = await world.back_up(1)
    world.hypervisor.closed.clear()
    again = await world.back_up(1)
    assert first.result.point == again.result.point
    assert first.facts == again.facts
    assert {source(1): True} == world.hypervisor.closed


async def test_asked_to_stop_after_the_commit_it_still_reports_the_point(world: World) -> None:
    await world.back_up(1)
    cancel = Cancellation()
    cancel.request()
    assert (await world.back_up(1, cancel=cancel)).result.point is not None


async def test_a_source_that_cannot_be_closed_after_the_commit_is_only_remarked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(source: str, *, committed: bool) -> None:
        raise Unavailable("The hypervisor service is away.", reason="AWAY")

    monkeypatch.setattr(world.hypervisor, "close_source", away)
    outcome = await world.back_up()
    assert ["SNAPSHOT_LEFT"] == [remark.code for remark in outcome.result.notices]
    assert "The hypervisor service is away." in outcome.result.notices[0].message
    assert outcome.result.point is not None


async def test_a_disk_that_fails_closes_the_source_and_leaves_no_checkpoint(world: World) -> None:
    broken = Breaking(world, CHUNK, DataLoss("The disk gives no bytes.", reason="NBD_IO_ERROR"))
    world.disks = broken  # type: ignore[assignment]
    with pytest.raises(DataLoss, match="gives no bytes"):
        await world.back_up()
    assert {source(1): False} == world.hypervisor.closed
    assert [] == list(world.store.list("checkpoints/"))
    assert [] == world.repository.list_points()


async def test_when_cleaning_up_fails_too_the_first_error_is_reported_with_the_second_in_its_hint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(source: str, *, committed: bool) -> None:
        raise Unavailable("The hypervisor service is away.", reason="AWAY")

    monkeypatch.setattr(world.hypervisor, "close_source", away)
    broken = Breaking(world, CHUNK, DataLoss("The disk gives no bytes.", reason="NBD_IO_ERROR", hint="Look."))
    world.disks = broken  # type: ignore[assignment]
    with pytest.raises(DataLoss, match="gives no bytes") as failed:
        await world.back_up()
    assert failed.value.hint == (
        "Look. Cleaning up failed as well: The hypervisor service is away. "
        "The hypervisor service removes the snapshot by itself."
    )


async def test_a_defect_closes_the_source_as_well(world: World) -> None:
    world.disks = Breaking(world, 0, ZeroDivisionError("a defect"))  # type: ignore[assignment]
    with pytest.raises(ZeroDivisionError):
        await world.back_up()
    assert {source(1): False} == world.hypervisor.closed


async def test_taken_over_by_another_mover_it_leaves_everything_to_that_one(world: World) -> None:
    error = Aborted("Another mover has it.", reason="TRANSFER_TAKEN_OVER")
    world.disks = Breaking(world, CHUNK, error)  # type: ignore[assignment]
    with pytest.raises(Aborted):
        await world.back_up()
    assert {} == world.hypervisor.closed
    assert [] != list(world.store.list("checkpoints/"))


async def test_cancelled_while_reading_it_closes_the_source_and_commits_nothing(world: World) -> None:
    cancel = Cancellation()
    broken = Breaking(world, CHUNK, Unavailable("Interrupted.", reason="INTERRUPTED"))
    broken.reached = cancel.request  # type: ignore[method-assign]
    world.disks = broken  # type: ignore[assignment]
    with pytest.raises((Cancelled, Unavailable)):
        await world.back_up(cancel=cancel)
    assert {source(1): False} == world.hypervisor.closed
    assert [] == world.repository.list_points()


async def test_cancelled_while_the_snapshot_is_taken_it_does_not_wait_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never(*_: object) -> Source:
        asked.set()
        return await asyncio.Future()

    monkeypatch.setattr(world.hypervisor, "open_source", never)
    cancel = Cancellation()
    running = asyncio.create_task(world.back_up(cancel=cancel))
    await asked.wait()
    cancel.request()
    with pytest.raises(Cancelled):
        await running


async def test_asked_to_stop_before_it_goes_on_it_closes_what_an_earlier_attempt_opened(world: World) -> None:

    await world.hypervisor.open_source(
        transfer_id(1), "pools/pool-1/vms/vm-1", Method.NORMAL, [], FullReason.FIRST_BACKUP
    )
    cancel = Cancellation()
    cancel.request()
    with pytest.raises(Cancelled):
        await world.back_up(1, cancel=cancel, attempt=2)
    assert {source(1): False} == world.hypervisor.closed


async def test_stopping_the_process_waits_for_the_thread_and_leaves_the_source_to_the_next(
    world: World,
) -> None:
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()
    broken = Breaking(world, CHUNK, Unavailable("Interrupted.", reason="INTERRUPTED"))
    cancel = Cancellation()

    def wait() -> None:
        loop.call_soon_threadsafe(reading.set)
        cancel.event.wait()

    broken.reached = wait  # type: ignore[method-assign]
    sound, world.disks = world.disks, broken  # type: ignore[assignment]
    running = asyncio.create_task(world.back_up(1, cancel=cancel))
    await reading.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert {} == world.hypervisor.closed
    world.disks = sound
    assert (await world.back_up(1)).result.point is not None
    assert {source(1): True} == world.hypervisor.closed


async def test_a_source_that_an_earlier_attempt_closed_can_be_tried_again_as_another_transfer(
    world: World,
) -> None:
    world.hypervisor.closed[source(1)] = False
    with pytest.raises(Aborted, match="removed its snapshot"):
        await world.back_up(1)


async def test_the_base_is_the_one_the_source_was_opened_with_not_the_newest(world: World) -> None:
    """Transfer 3 had opened its source upon point 1 and died; point 2 was taken later than that."""
    await world.back_up(1)
    world.hypervisor.disks["disk-a"][0:4] = b"AAAA"
    bases = [(disk.disk_id, disk.tracking_ref) for disk in world.repository.get_point(transfer_id(1)).disks]

    opened = await world.hypervisor.open_source(
        transfer_id(3),
        "pools/pool-1/vms/vm-1",
        Method.NORMAL,
        [Base(*base) for base in bases],
        FullReason.NONE,
    )
    as_it_was = world.now()
    world.hypervisor.disks["disk-a"][3 * CHUNK : 3 * CHUNK + 4] = b"BBBB"
    await world.back_up(2)
    point = (await world.back_up(3)).result.point
    assert point is not None
    assert (transfer_id(1), opened.snapshot_time) == (point.base_point_id, point.snapshot_time)
    await world.restore(4, 3)
    assert as_it_was == world.restored(4)


@pytest.mark.scenario(39)
async def test_a_base_point_that_cannot_be_read_leads_to_a_full_that_says_why(world: World) -> None:
    await world.back_up(1)
    known = await world.shelf.points(world.repository.repository_id)
    known.now()
    world.store.objects[f"points/{transfer_id(1)}"] = b"rubbish"
    point = (await world.back_up(2)).result.point
    assert point is not None
    assert {FullReason.BASE_POINT_UNUSABLE} == {disk.full_reason for disk in point.disks}
    assert "FULL_BASE_POINT_UNUSABLE" in {remark.code for remark in point.notices}
    await world.restore(3, 2)
    assert world.now() == world.restored(3)


async def test_an_unreadable_point_of_anybody_does_not_stop_backups(world: World) -> None:
    world.store.objects[f"points/{transfer_id(9)}"] = b"rubbish"
    point = (await world.back_up(1)).result.point
    assert point is not None
    assert {FullReason.BASE_POINT_UNUSABLE} == {disk.full_reason for disk in point.disks}
    assert ["POINTS_UNREADABLE"] == [remark.code for remark in point.notices]


@pytest.mark.scenario(41)
async def test_a_change_that_the_pool_did_not_tell_is_found_and_its_disk_is_read_fully(world: World) -> None:
    world.unchanged_chunks = 8
    await world.back_up(1)
    for offset in (0, 3 * CHUNK):
        world.hypervisor.disks["disk-a"][offset : offset + 10] = b"0123456789"
    world.hypervisor.untold = frozenset([3 * CHUNK])
    point = (await world.back_up(2)).result.point
    assert point is not None
    assert [FullReason.TRACKING_UNTRUE, FullReason.NONE] == [disk.full_reason for disk in point.disks]
    (remark,) = point.notices
    assert "FULL_TRACKING_UNTRUE" == remark.code
    assert f"byte {3 * CHUNK} had not changed, and it has" in remark.message
    await world.restore(3, 2)
    assert world.now() == world.restored(3)

    world.hypervisor.untold = frozenset()
    point = (await world.back_up(4)).result.point
    assert point is not None
    assert (Level.INCREMENTAL, transfer_id(2), ()) == (point.level, point.base_point_id, point.notices)


@pytest.mark.scenario(38)
async def test_a_disk_that_shrank_is_read_fully(world: World) -> None:
    await world.back_up(1)
    opened = world.hypervisor.open_source

    async def pretending(*args: object) -> Source:
        """As if the hypervisor did not notice."""

        source = await opened(*args)  # type: ignore[arg-type]
        base = world.repository.get_point(transfer_id(1)).disk("disk-a")
        assert base is not None
        disks = (
            replace(source.disks[0], level=Level.INCREMENTAL, base_tracking_ref=base.tracking_ref),
            *source.disks[1:],
        )
        return replace(source, disks=disks)

    world.hypervisor.open_source = pretending  # type: ignore[method-assign,assignment]
    del world.hypervisor.disks["disk-a"][4 * CHUNK :]
    point = (await world.back_up(2)).result.point
    assert point is not None
    assert [FullReason.DISK_RESIZED, FullReason.NONE] == [disk.full_reason for disk in point.disks]
    assert ["FULL_DISK_RESIZED"] == [remark.code for remark in point.notices]
    await world.restore(3, 2)
    assert world.now() == world.restored(3)


async def test_memory_and_a_shared_moment_are_in_the_point(world: World) -> None:
    opened, moment = world.hypervisor.open_source, GroupMoment("a group", 3, 12)

    async def with_memory(*args: object) -> Source:
        source = await opened(*args)  # type: ignore[arg-type]
        *others, last = source.disks
        image = replace(last, kind=DiskKind.SUSPEND_IMAGE, device="memory")
        return replace(source, disks=(*others, image), group=moment)

    world.hypervisor.open_source = with_memory  # type: ignore[method-assign,assignment]
    point = (await world.back_up(1)).result.point
    assert point is not None
    assert moment == point.group
    assert [DiskKind.DATA, DiskKind.SUSPEND_IMAGE] == [disk.kind for disk in point.disks]
    assert "memory" == point.disks[-1].device
    assert point == read_point(point.repository_id, world.repository.get_point(transfer_id(1)))


async def test_each_point_of_a_repository_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        await world.back_up(number)
    read: list[str] = []
    get_point = world.repository.get_point

    def counting(point_id: str) -> object:
        read.append(point_id)
        return get_point(point_id)

    known = await world.shelf.points(world.repository.repository_id)
    monkeypatch.setattr(world.repository, "get_point", counting)
    known.now()
    assert {transfer_id(3)} >= set(read)
    read.clear()
    known.now()
    assert [] == read


def test_more_connections_than_a_host_has_are_refused() -> None:
    with pytest.raises(InvalidInput, match="17 connections"):
        Backup("pools/p/vms/v", "main", Method.NORMAL, connections=17)


async def test_a_failed_precondition_of_the_engine_that_is_not_the_base_is_reported(world: World) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FailedPrecondition("Read only.", reason="REPOSITORY_READ_ONLY")

    world.repository.begin_backup = refuse  # type: ignore[method-assign,assignment]
    with pytest.raises(FailedPrecondition, match="Read only"):
        await world.back_up()
    assert {source(1): False} == world.hypervisor.closed


async def test_a_point_that_is_there_is_committed_whoever_made_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another mover had taken over, committed and closed while this one slept."""
    await world.back_up(1)
    get_point, blind = world.repository.get_point, [True]

    def not_yet(point_id: str) -> object:
        if blind and blind.pop():
            raise NotFound("Not yet.", reason="POINT_MISSING")
        return get_point(point_id)

    monkeypatch.setattr(world.repository, "get_point", not_yet)
    world.hypervisor.closed.clear()
    outcome = await world.back_up(1)
    assert outcome.result.point is not None
    assert {source(1): True} == world.hypervisor.closed


@pytest.mark.parametrize(("compression", "level"), [(None, 1), (Compression.FAST, -3), (Compression.HIGH, 6)])
async def test_the_policy_says_how_hard_to_compress_and_the_point_keeps_it(
    world: World, compression: Compression | None, level: int
) -> None:
    spec = Backup(VM, "main", Method.NORMAL, compression=compression)
    transfer = Transfer(transfer_id(1), spec, world.clock.now(), attempt=1)
    outcome = await world.backup_runner()(transfer, spec, Board(), Cancellation())
    assert world.repository.get_point(transfer_id(1)).document["compression_level"] == level
    assert outcome.result.point is not None
    assert outcome.result.point.notices == ()


async def test_a_compression_of_a_newer_release_is_told(world: World) -> None:
    spec = Backup(VM, "main", Method.NORMAL, compression=Compression.UNKNOWN)
    transfer = Transfer(transfer_id(1), spec, world.clock.now(), attempt=1)
    outcome = await world.backup_runner()(transfer, spec, Board(), Cancellation())
    assert ["COMPRESSION_UNKNOWN"] == [notice.code for notice in outcome.result.notices]
    assert world.repository.get_point(transfer_id(1)).document["compression_level"] == 1
