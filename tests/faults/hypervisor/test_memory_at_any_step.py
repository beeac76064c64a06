"""Memory in a point, and guests frozen by agents, whatever dies or fails at whatever step."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.chassis.clock import SystemClock
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_agents import MemoryAgent, MemoryAgents
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.source import Consistency, SourceState
from services.hypervisor.domain.target import Mode, TargetDisk, TargetState
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from tests.faults.hypervisor.test_any_step_may_be_the_last import Check, Point, Stage, Story, placement
from tests.support.hypervisor_house import POOL_ID, Faults, house


@dataclass
class Methods(Stage):
    agents: MemoryAgents

    async def opened(self, vm: MemoryVm, id: str, method: Method) -> Consistency:
        asked = FullReason.FIRST_BACKUP
        opened = await self.inside.sources.open(POOL_ID, vm.vm_id, id, method, (), asked, Options())
        return opened.source.consistency

    async def backed_up(self, vm: MemoryVm, id: str, method: Method, wanted: Consistency) -> None:
        source = await self.inside.source_store.get(id)
        if source is None or source.state in (SourceState.OPENING, SourceState.OPEN):
            assert wanted is await self.opened(vm, id, method)
        await self.inside.sources.close(POOL_ID, id, committed=False)

    async def memory_point(self, vm: MemoryVm) -> Point:
        id, asked = str(uuid.uuid4()), FullReason.FIRST_BACKUP
        opened = await self.inside.sources.open(POOL_ID, vm.vm_id, id, Method.MEMORY, (), asked, Options())
        await self.inside.sources.close(POOL_ID, id, committed=False)
        disks = tuple(TargetDisk(d.disk_id, d.size_bytes, d.display_name) for d in opened.source.disks)
        return opened.configuration, disks


@pytest.fixture
async def methods(tmp_path: Path) -> AsyncIterator[Methods]:
    pool, agents = MemoryPool(SystemClock(), RandomIds()), MemoryAgents(SystemClock())
    faults = Faults(pool)
    async with house(tmp_path, faults, faults.passed, agents=agents) as inside:
        yield Methods(pool, inside, faults, agents)


async def test_after_a_repeated_backup_with_memory_nothing_of_it_is_left(methods: Methods) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = methods.new_vm(), str(uuid.uuid4())
        before = set(methods.pool.disks)

        async def check() -> None:
            assert (PowerState.RUNNING, [vm]) == (vm.power_state, list(methods.pool.vms.values()))
            assert before == set(methods.pool.disks)

        return (lambda: methods.backed_up(vm, id, Method.MEMORY, Consistency.MEMORY)), check

    assert await methods.everything_strikes(scene) > 30


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_vm_is_restored_once_with_its_memory(methods: Methods, mode: Mode, start: bool) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = methods.new_vm(), str(uuid.uuid4())
        configuration, disks = await methods.memory_point(vm)
        place = replace(placement(mode), keep_mac_addresses=False, start=start)
        others = set() if mode is Mode.ORIGINAL else {vm.vm_id}

        async def story() -> None:
            target = await methods.inside.target_store.get(id)
            if target is None or target.state in (TargetState.PREPARING, TargetState.PREPARED):
                _, endpoints = await methods.inside.targets.prepare(id, place, configuration, disks)
                for endpoint, *_ in endpoints.values():
                    methods.pool.tickets[endpoint.url.reveal().partition("?")[2]].written = True
            await methods.inside.targets.commit(POOL_ID, id)

        async def check() -> None:
            [new] = [each for id, each in methods.pool.vms.items() if id not in others]
            wanted = PowerState.RUNNING if start else PowerState.SUSPENDED
            assert (wanted, "") == (new.power_state, new.target_id)
            images = [disk for disk in methods.pool.disks.values() if disk.name == "Memory"]
            assert ([] if start else [new.image]) == [disk.disk_id for disk in images]
            assert not any(disk.target_id for disk in methods.pool.disks.values())

        return story, check

    assert await methods.everything_strikes(scene) > 30


async def test_a_guest_is_never_left_frozen(methods: Methods) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = methods.new_vm(), str(uuid.uuid4())
        methods.agents.guests[vm.vm_id] = MemoryAgent()
        before = set(methods.pool.disks)

        async def check() -> None:
            assert not methods.agents.frozen(vm.vm_id)
            assert before == set(methods.pool.disks)

        return (lambda: methods.backed_up(vm, id, Method.QUIESCED, Consistency.APPLICATION)), check

    assert await methods.everything_strikes(scene) > 30


async def test_when_nobody_goes_on_the_janitor_thaws_the_guest(methods: Methods) -> None:
    async def scene() -> tuple[Story, Check]:
        vm, id = methods.new_vm(), str(uuid.uuid4())
        methods.agents.guests[vm.vm_id] = MemoryAgent()

        async def once_then_swept() -> None:
            if methods.faults.struck:
                await methods.inside.janitor.clean(POOL_ID, search=True)
            else:
                await methods.opened(vm, id, Method.QUIESCED)

        async def check() -> None:
            assert not methods.agents.frozen(vm.vm_id)

        return once_then_swept, check

    assert await methods.everything_strikes(scene) > 20
