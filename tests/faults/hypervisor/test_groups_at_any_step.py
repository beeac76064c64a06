"""VMs captured at one moment, whatever dies or fails at whatever step: all of them, or none and nothing
left."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.errors import Aborted, FailedPrecondition
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.group import Member
from services.hypervisor.domain.source import SourceState
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from tests.faults.hypervisor.test_any_step_may_be_the_last import Check, Stage, Story
from tests.support.hypervisor_house import POOL_ID, Faults, house


@dataclass
class GroupStage(Stage):
    """Two VMs, shut down for their snapshots."""

    def new_vms(self) -> list[MemoryVm]:
        vms = [self.new_vm(), self.pool.add_vm("db", self.pool.add_disk("db root"))]
        vms[1].power_state = PowerState.RUNNING
        return vms

    async def open_member(self, group: str, members: tuple[Member, ...], number: int) -> str:
        """The id of the moment it was captured at."""
        member, options, asked = members[number], Options(), FullReason.FIRST_BACKUP
        opened = await self.inside.sources.open(
            POOL_ID,
            member.vm_id,
            member.source_id,
            Method.OFFLINE,
            (),
            asked,
            options,
            group=(group, members),
        )
        assert opened.source.group is not None
        return opened.source.group.group_id

    async def close_all(self, members: tuple[Member, ...]) -> None:
        for member in members:
            if await self.inside.source_store.get(member.source_id) is not None:
                await self.inside.sources.close(POOL_ID, member.source_id, committed=False)


@pytest.fixture
async def group_stage(tmp_path: Path) -> AsyncIterator[GroupStage]:
    pool = MemoryPool(SystemClock(), RandomIds())
    faults = Faults(pool)
    async with house(tmp_path, faults, faults.passed) as inside:
        yield GroupStage(pool, inside, faults)


def _members(vms: list[MemoryVm]) -> tuple[Member, ...]:
    return tuple(Member(POOL_ID, vm.vm_id, str(uuid.uuid4())) for vm in vms)


async def test_repeated_it_is_one_moment_for_all_and_nothing_is_left(group_stage: GroupStage) -> None:
    stage = group_stage

    async def scene() -> tuple[Story, Check]:
        vms, id = stage.new_vms(), str(uuid.uuid4())
        members, before = _members(vms), set(stage.pool.disks)

        async def story() -> None:
            states = [await stage.inside.source_store.get(member.source_id) for member in members]
            if not any(each and each.state in (SourceState.CLOSING, SourceState.CLOSED) for each in states):
                try:
                    assert {id} == {await stage.open_member(id, members, number) for number in range(2)}
                except (Aborted, FailedPrecondition):
                    assert stage.faults.struck  # it was given up for all of them
            await stage.close_all(members)

        async def check() -> None:
            assert all(vm.power_state is PowerState.RUNNING for vm in vms)
            assert vms == list(stage.pool.vms.values())
            assert before == set(stage.pool.disks)

        return story, check

    assert await stage.everything_strikes(scene) > 60


async def test_when_nobody_goes_on_the_vms_run_and_closing_leaves_nothing(group_stage: GroupStage) -> None:
    stage = group_stage

    async def scene() -> tuple[Story, Check]:
        vms, id = stage.new_vms(), str(uuid.uuid4())
        members, before = _members(vms), set(stage.pool.disks)

        async def once_then_swept() -> None:
            if stage.faults.struck:
                await stage.inside.janitor.clean(POOL_ID, search=True)
            else:
                await stage.open_member(id, members, 0)

        async def check() -> None:
            assert all(vm.power_state is PowerState.RUNNING for vm in vms)
            await stage.close_all(members)
            assert (before, vms) == (set(stage.pool.disks), list(stage.pool.vms.values()))

        return once_then_swept, check

    assert await stage.everything_strikes(scene) > 40
