"""A VM that was shut down for its backup runs again, whatever dies or fails at whatever step."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.adapters.no_agents import NoAgents
from services.hypervisor.domain.capture import Hook, Moment, Offline, Options
from services.hypervisor.domain.source import Consistency, SourceState
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from tests.faults.hypervisor.test_any_step_may_be_the_last import Check, Stage, Story
from tests.support.hypervisor_house import POOL_ID, Faults, house

HOOKS = (Hook(Moment.BEFORE_SNAPSHOT, "https://one/"), Hook(Moment.AFTER_SNAPSHOT, "https://two/"))


@dataclass
class Called:
    """``Hooks`` that note when they were called."""

    moments: list[Moment] = field(default_factory=list)

    async def call(self, hook: Hook, body: dict[str, str]) -> str:
        self.moments.append(hook.moment)
        return ""

    def assert_ended(self) -> None:
        """Whoever was told of a beginning has been told of its end."""
        assert [] == self.moments or Moment.AFTER_SNAPSHOT is self.moments[-1]


@dataclass
class OfflineStage(Stage):
    called: Called

    async def opened(self, vm: MemoryVm, id: str, options: Options) -> None:
        asked = FullReason.FIRST_BACKUP
        opened = await self.inside.sources.open(POOL_ID, vm.vm_id, id, Method.OFFLINE, (), asked, options)
        assert Consistency.POWERED_OFF is opened.source.consistency

    async def backed_up(self, vm: MemoryVm, id: str, options: Options) -> None:
        source = await self.inside.source_store.get(id)
        if source is None or source.state in (SourceState.OPENING, SourceState.OPEN):
            await self.opened(vm, id, options)
        await self.inside.sources.close(POOL_ID, id, committed=False)


@pytest.fixture
async def offline_stage(tmp_path: Path) -> AsyncIterator[OfflineStage]:
    pool, called = MemoryPool(SystemClock(), RandomIds()), Called()
    faults = Faults(pool)
    async with house(tmp_path, faults, faults.passed, hooks=called, agents=NoAgents()) as inside:
        yield OfflineStage(pool, inside, faults, called)


@pytest.mark.parametrize("stay_off", [False, True])
async def test_after_a_repeated_backup_the_vm_runs(offline_stage: OfflineStage, stay_off: bool) -> None:
    stage, options = offline_stage, Options(offline=Offline(stay_off=stay_off), hooks=HOOKS)

    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())
        before = set(stage.pool.disks)
        stage.called.moments.clear()

        async def check() -> None:
            assert (PowerState.RUNNING, [vm]) == (vm.power_state, list(stage.pool.vms.values()))
            assert before == set(stage.pool.disks)
            stage.called.assert_ended()

        return (lambda: stage.backed_up(vm, id, options)), check

    assert await stage.everything_strikes(scene) > 35


async def test_when_nobody_goes_on_the_janitor_starts_the_vm(offline_stage: OfflineStage) -> None:
    stage, options = offline_stage, Options(offline=Offline(), hooks=HOOKS)

    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())
        stage.called.moments.clear()

        async def once_then_swept() -> None:
            if stage.faults.struck:
                await stage.inside.janitor.clean(POOL_ID, search=True)
            else:
                await stage.opened(vm, id, options)

        async def check() -> None:
            assert PowerState.RUNNING is vm.power_state
            stage.called.assert_ended()

        return once_then_swept, check

    assert await stage.everything_strikes(scene) > 25


async def test_a_vm_that_is_to_stay_off_runs_when_its_backup_is_given_up(offline_stage: OfflineStage) -> None:
    stage, options = offline_stage, Options(offline=Offline(stay_off=True))

    async def scene() -> tuple[Story, Check]:
        vm, id = stage.new_vm(), str(uuid.uuid4())

        async def given_up() -> None:
            if not stage.faults.struck:
                await stage.opened(vm, id, options)
            if await stage.inside.source_store.get(id) is not None:
                await stage.inside.sources.close(POOL_ID, id, committed=False)

        async def check() -> None:
            assert (PowerState.RUNNING, [vm]) == (vm.power_state, list(stage.pool.vms.values()))

        return given_up, check

    assert await stage.everything_strikes(scene) > 25
