"""Every step of every sequence dies once, and every call to the pool fails once, before and after it ran.

Then the caller repeats what it does not know the outcome of, as a mover does. The store is a real one; that
nothing else is remembered over a death is shown with processes in the neighbouring files.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import delete

from services.chassis.clock import SystemClock
from services.chassis.errors import Aborted, Unavailable
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.adapters.tables import SOURCES, TARGETS
from services.hypervisor.app.readables import Readable
from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.source import Base, SourceState
from services.hypervisor.domain.target import Mode, Placement, TargetDisk, TargetState
from services.hypervisor.domain.tracking import FullReason, Tracking
from services.hypervisor.domain.vm import Method, PowerState
from tests.support.hypervisor_house import POOL_ID, Faults, House, Killed, house

pytestmark = pytest.mark.scenario(1)

Story = Callable[[], Awaitable[object]]
Check = Callable[[], Awaitable[None]]
Point = tuple[bytes, tuple[TargetDisk, ...]]


@dataclass
class Stage:
    """A pool, the service inside, and what may strike it."""

    pool: MemoryPool
    inside: House
    faults: Faults

    def new_vm(self) -> MemoryVm:
        self.pool.vms.clear()
        self.pool.disks.clear()
        vm = self.pool.add_vm("web", self.pool.add_disk("root"), self.pool.add_disk("data"))
        vm.power_state = PowerState.RUNNING
        return vm

    async def everything_strikes(self, scene: Callable[[], Awaitable[tuple[Story, Check]]]) -> int:
        """Plays the scene once for each fault there can be; how many there were."""
        struck = 0
        for kind in Faults.KINDS:
            at = 0
            while True:
                at += 1
                story, check = await scene()
                self.faults.arm(kind, at)
                try:
                    await story()
                except (Killed, Unavailable, Aborted):
                    assert self.faults.struck
                self.faults.disarm()
                if not self.faults.struck:
                    break
                struck += 1
                await story()
                await check()
        return struck

    async def forget(self) -> None:
        """What earlier scenes left open: there is nothing of it in the pool any more."""
        async with self.inside.database.begin() as tx:
            await tx.execute(delete(SOURCES))
            await tx.execute(delete(TARGETS))

    async def open(self, vm: MemoryVm, id: str, bases: tuple[Base, ...] = ()) -> Readable:
        return await self.inside.sources.open(
            POOL_ID, vm.vm_id, id, Method.NORMAL, bases, FullReason.FIRST_BACKUP, Options()
        )

    async def backup(self, vm: MemoryVm, id: str, committed: bool, bases: tuple[Base, ...] = ()) -> None:
        source = await self.inside.source_store.get(id)
        if source is None or source.state in (SourceState.OPENING, SourceState.OPEN):
            await self.open(vm, id, bases)
        await self.inside.sources.close(POOL_ID, id, committed=committed)

    async def point(self, vm: MemoryVm) -> Point:
        id = str(uuid.uuid4())
        readable = await self.open(vm, id)
        await self.inside.sources.close(POOL_ID, id, committed=False)
        disks = tuple(TargetDisk(d.disk_id, d.size_bytes, d.display_name) for d in readable.source.disks)
        return readable.configuration, disks

    async def restore(self, mode: Mode, id: str, point: Point) -> None:
        target = await self.inside.target_store.get(id)
        if target is None or target.state in (TargetState.PREPARING, TargetState.PREPARED):
            _, endpoints = await self.inside.targets.prepare(id, placement(mode), *point)
            for endpoint, *_ in endpoints.values():
                self.pool.tickets[endpoint.url.reveal().partition("?")[2]].written = True
        await self.inside.targets.commit(POOL_ID, id)


def placement(mode: Mode) -> Placement:
    return Placement(POOL_ID, "", mode, "" if mode is Mode.ORIGINAL else "copy", True, start=True)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    pool = MemoryPool(SystemClock(), RandomIds())
    faults = Faults(pool)
    async with house(tmp_path, faults, faults.passed) as inside:
        yield Stage(pool, inside, faults)


@pytest.mark.scenario("Xen Orchestra #8713")
@pytest.mark.parametrize("tracking", [Tracking.SWITCHED_ON, Tracking.UNLICENSED])
async def test_a_backup_ends_with_one_base_per_disk_and_no_snapshot(stage: Stage, tracking: Tracking) -> None:
    stage.pool.tracking = tracking

    async def scene() -> tuple[Story, Check]:
        vm, first, second = stage.new_vm(), str(uuid.uuid4()), str(uuid.uuid4())
        await stage.backup(vm, first, committed=True)
        old = [disk for disk in stage.pool.disks.values() if disk.snapshot_of]
        bases = tuple(Base(disk.snapshot_of, disk.disk_id) for disk in old)

        async def check() -> None:
            assert [vm] == list(stage.pool.vms.values())
            kept = [disk for disk in stage.pool.disks.values() if disk.snapshot_of]
            assert {(id, second) for id in vm.disks.values()} == {(d.snapshot_of, d.source_id) for d in kept}
            assert {tracking is Tracking.UNLICENSED} == {disk.data_kept for disk in kept}
            source = await stage.inside.source_store.get(second)
            assert source is not None and all(disk.incremental for disk in source.disks)

        return (lambda: stage.backup(vm, second, True, bases)), check

    assert await stage.everything_strikes(scene) > 30


@pytest.mark.scenario("Xen Orchestra #8713")
async def test_a_backup_that_is_given_up_leaves_nothing(stage: Stage) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())
        before = set(stage.pool.disks)

        async def check() -> None:
            assert (before, [vm]) == (set(stage.pool.disks), list(stage.pool.vms.values()))
            assert {} == stage.pool.blocks

        return (lambda: stage.backup(vm, id, committed=False)), check

    assert await stage.everything_strikes(scene) > 20


async def test_a_vm_that_goes_off_while_it_is_read_may_be_moved_again_afterwards(stage: Stage) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())

        async def story() -> None:
            source = await stage.inside.source_store.get(id)
            if source is None or source.state in (SourceState.OPENING, SourceState.OPEN):
                await stage.open(vm, id)
                vm.power_state = PowerState.HALTED
                await stage.inside.sources.keep_still(POOL_ID, id)
                assert [id] == list(stage.pool.blocks.values())
            await stage.inside.sources.close(POOL_ID, id, committed=True)

        async def check() -> None:
            assert {} == stage.pool.blocks
            assert [vm] == list(stage.pool.vms.values())

        return story, check

    assert await stage.everything_strikes(scene) > 30


async def test_the_original_is_replaced_whole_and_once(stage: Stage) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())
        point = await stage.point(vm)
        old, macs = set(vm.disks.values()), dict(vm.macs)

        async def check() -> None:
            assert [vm.vm_id] == list(stage.pool.vms)
            new = stage.pool.vms[vm.vm_id]
            assert (macs, PowerState.RUNNING, "") == (new.macs, new.power_state, new.target_id)
            assert set(new.disks.values()) == set(stage.pool.disks)
            assert not old & set(stage.pool.disks)
            assert ["root", "data"] == [stage.pool.disks[disk].name for disk in new.disks.values()]
            assert {} == stage.pool.tickets

        return (lambda: stage.restore(Mode.ORIGINAL, id, point)), check

    assert await stage.everything_strikes(scene) > 40


async def test_when_struck_the_original_is_whole_or_the_new_vm_is(stage: Stage) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())
        point = await stage.point(vm)
        old = set(vm.disks.values())

        async def story() -> None:
            try:
                await stage.restore(Mode.ORIGINAL, id, point)
            finally:
                attached = set(stage.pool.vms[vm.vm_id].disks.values())
                assert len(attached) == 2
                assert attached <= set(stage.pool.disks)
                assert attached == old or not attached & old

        async def check() -> None:
            assert not old & set(stage.pool.disks)

        return story, check

    await stage.everything_strikes(scene)


async def test_a_new_vm_is_made_once_with_its_addresses(stage: Stage) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())
        point = await stage.point(vm)

        async def check() -> None:
            [new] = [each for each in stage.pool.vms.values() if each.vm_id != vm.vm_id]
            assert ("copy", vm.macs, "") == (new.name, new.macs, new.target_id)
            assert len(stage.pool.disks) == 4

        return (lambda: stage.restore(Mode.NEW_VM, id, point)), check

    assert await stage.everything_strikes(scene) > 30


async def test_a_restore_that_is_given_up_leaves_nothing(stage: Stage) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())
        point = await stage.point(vm)
        before = set(stage.pool.disks)

        async def given_up() -> None:
            target = await stage.inside.target_store.get(id)
            if target is None or target.state in (TargetState.PREPARING, TargetState.PREPARED):
                await stage.inside.targets.prepare(id, placement(Mode.ORIGINAL), *point)
            await stage.inside.targets.abort(POOL_ID, id)

        async def check() -> None:
            assert (before, [vm]) == (set(stage.pool.disks), list(stage.pool.vms.values()))
            assert {} == stage.pool.tickets

        return given_up, check

    assert await stage.everything_strikes(scene) > 20


async def test_the_janitor_ends_whatever_was_left(stage: Stage) -> None:
    async def scene() -> tuple[Story, Check]:
        await stage.forget()
        vm, source, target = stage.new_vm(), str(uuid.uuid4()), str(uuid.uuid4())
        point = await stage.point(vm)
        old = set(vm.disks.values())

        async def story() -> None:
            await stage.open(vm, source)
            await stage.inside.sources.close(POOL_ID, source, committed=False)
            await stage.restore(Mode.ORIGINAL, target, point)

        async def check() -> None:
            done = await stage.inside.target_store.get(target)
            if done is not None and done.state is TargetState.COMMITTED:
                assert not old & set(stage.pool.disks)
            states = {each.state for each in await stage.inside.source_store.unfinished(POOL_ID)}
            assert SourceState.CLOSING not in states
            unfinished = await stage.inside.target_store.unfinished(POOL_ID)
            assert not {TargetState.COMMITTING, TargetState.ABORTING} & {each.state for each in unfinished}

        async def once_then_swept() -> None:
            if stage.faults.struck:
                await stage.inside.janitor.clean(POOL_ID, search=True)
            else:
                await story()

        return once_then_swept, check

    assert await stage.everything_strikes(scene) > 40
