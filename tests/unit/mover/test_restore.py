import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from services.chassis.errors import Aborted, Cancelled, DataLoss, FailedPrecondition, NotFound, Unavailable
from services.mover.adapters.memory_disk import MemoryDisk
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation
from services.mover.domain.facts import DamageFound
from services.mover.domain.source import Target
from services.mover.ports import Data
from tests.unit.mover.world import CHUNK, POOL, World, transfer_id


def target(number: int) -> str:
    return f"{POOL}/restoreTargets/{transfer_id(number)}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await World(tmp_path).open()
    async with made.shelf:
        await made.back_up(1)
        yield made


class Failing:
    """Targets whose disk ``disk_id`` fails with ``errors``, one in each round, and works after that."""

    def __init__(self, world: World, disk_id: str, *errors: Exception) -> None:
        self.world, self.disk_id, self.errors = world, disk_id, list(errors)
        self.aborted: list[str] = []
        self.rounds = 0

    async def targets(self, target: Target, frame_bytes: int) -> Mapping[str, MemoryDisk]:
        self.rounds += 1
        failing = self

        class Disk(MemoryDisk):
            name = ""

            def write(self, offset: int, data: Data) -> None:
                if self.name == failing.disk_id and failing.errors:
                    raise failing.errors.pop(0)
                super().write(offset, data)

            def abort(self) -> None:
                failing.aborted.append(self.name)
                super().abort()

        fresh: dict[str, MemoryDisk] = {}
        for disk in target.disks:
            fresh[disk.disk_id] = made = Disk(bytes(disk.size_bytes), frame_bytes=frame_bytes)
            made.name = disk.disk_id
        self.world.hypervisor.written[target.name] = fresh
        return fresh


async def test_a_restore_writes_what_was_backed_up_and_makes_the_vm(world: World) -> None:
    as_it_was = world.now()
    world.hypervisor.disks["disk-a"][:4] = b"next"
    outcome = await world.restore(2, 1)
    assert as_it_was == world.restored(2)
    assert f"{POOL}/vms/new" == outcome.result.vm
    assert b"<vm name='web'/>" == world.hypervisor.configurations[target(2)]


async def test_delivered_again_after_the_commit_it_reports_the_vm(world: World) -> None:
    first = await world.restore(2, 1)
    world.hypervisor.written.clear()
    assert first.result.vm == (await world.restore(2, 1)).result.vm
    assert {} == world.hypervisor.written


async def test_a_way_that_is_lost_leads_to_another_round_over_all_disks(world: World) -> None:
    failing = Failing(world, "disk-b", Unavailable("The host is gone.", reason="HTTP_CUT"))
    world.disks = failing  # type: ignore[assignment]
    running = asyncio.create_task(world.restore(2, 1))
    await world.clock.until_sleeping()
    await world.clock.advance(2)
    outcome = await running
    assert 2 == failing.rounds
    assert world.now() == world.restored(2)
    assert ["RESTORE_WRITTEN_AGAIN"] == [remark.code for remark in outcome.result.notices]
    assert "The host is gone." in outcome.result.notices[0].message


@pytest.mark.parametrize(
    "error",
    [
        Aborted("The pool forgot.", reason="WRITING_FORGOTTEN"),
        FailedPrecondition("Not written.", reason="DISK_NOT_WRITTEN"),
    ],
)
async def test_a_pool_that_forgot_what_was_written_gets_it_again(
    world: World, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, errors = world.hypervisor.commit_target, [error]

    async def forgetful(target: str) -> Target:
        if errors:
            raise errors.pop()
        return await commit(target)

    monkeypatch.setattr(world.hypervisor, "commit_target", forgetful)
    running = asyncio.create_task(world.restore(2, 1))
    await world.clock.until_sleeping()
    await world.clock.advance(2)
    assert ["RESTORE_WRITTEN_AGAIN"] == [remark.code for remark in (await running).result.notices]


async def test_a_failure_that_another_round_would_not_mend_removes_what_was_made(world: World) -> None:
    failing = Failing(world, "disk-a", FailedPrecondition("The disk is read-only.", reason="HTTP_FAILED"))
    world.disks = failing  # type: ignore[assignment]
    with pytest.raises(FailedPrecondition, match="read-only"):
        await world.restore(2, 1)
    assert {target(2)} == world.hypervisor.aborted
    assert {"disk-a", "disk-b"} == set(failing.aborted)


async def test_an_abort_that_fails_does_not_hide_why_the_restore_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(target: str) -> None:
        raise Unavailable("The hypervisor service is away.", reason="AWAY")

    failing = Failing(world, "disk-a", FailedPrecondition("The disk is read-only.", reason="HTTP_FAILED"))
    world.disks = failing  # type: ignore[assignment]
    monkeypatch.setattr(world.hypervisor, "abort_target", away)
    with pytest.raises(FailedPrecondition, match="read-only") as failed:
        await world.restore(2, 1)
    assert "The hypervisor service is away." in failed.value.hint


async def test_a_damaged_point_fails_before_anything_is_made_and_is_told(world: World) -> None:
    for name in [stored.name for stored in world.store.list("packs/data/")]:
        world.store.objects[name] = b"x" * len(world.store.objects[name])
    world.repository.verify(full=False)
    board = Board()
    with pytest.raises(DataLoss, match="damaged"):
        await world.restore(2, 1, board=board)
    assert {} == world.hypervisor.targets
    (fact,) = board.facts
    assert isinstance(fact, DamageFound)
    assert ("main", (transfer_id(1),)) == (fact.repository_display_name, fact.damages[0].point_ids)


async def test_cancelled_before_it_goes_on_it_removes_what_an_earlier_attempt_made(world: World) -> None:
    world.hypervisor.targets[target(2)] = Target(target(2), (), "", committed=False)
    cancel = Cancellation()
    cancel.request()
    with pytest.raises(Cancelled):
        await world.restore(2, 1, cancel=cancel, attempt=2)
    assert {target(2)} == world.hypervisor.aborted


async def test_a_target_that_an_earlier_attempt_removed_can_be_tried_again_as_another_transfer(
    world: World,
) -> None:
    world.hypervisor.aborted.add(target(2))
    with pytest.raises(Aborted, match="removed its disks"):
        await world.restore(2, 1)


async def test_progress_never_goes_back_when_a_disk_is_written_again(world: World) -> None:
    board = Board()
    board.expect("disk", 4 * CHUNK)
    board.moved("disk", total=4 * CHUNK, read=3 * CHUNK)
    board.moved("disk", total=2 * CHUNK, read=CHUNK)
    assert (4 * CHUNK, 3 * CHUNK) == (board.progress().total_bytes, board.progress().done_bytes)


async def test_what_fails_before_anything_is_made_asks_nobody_to_remove_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(target: str) -> None:
        raise AssertionError

    monkeypatch.setattr(world.hypervisor, "abort_target", never)
    with pytest.raises(NotFound, match="no restore point"):
        await world.restore(2, 9)
