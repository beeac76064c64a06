"""VMs captured at one moment: all of them or none."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from services.chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)
from services.hypervisor.adapters.memory_agents import MemoryAgent
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.app.janitor import RESERVED_FOR
from services.hypervisor.domain.capture import Offline, Options
from services.hypervisor.domain.group import Member
from services.hypervisor.domain.source import Base, Consistency, Source, SourceState
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from services.hypervisor.ports.snapshots import Snapshot
from tests.support.hypervisor_house import POOL_ID
from tests.unit.hypervisor.scenes import Scene

Take = Callable[..., Awaitable[Snapshot]]


class Application:
    """Three running VMs that are captured together."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.vms = [scene.vm, *(self._vm(name) for name in ("app", "db"))]
        self.anew()

    def anew(self) -> None:
        """Another group of the same VMs."""
        self.id = str(uuid.uuid4())
        self.members = tuple(Member(POOL_ID, vm.vm_id, str(uuid.uuid4())) for vm in self.vms)

    def _vm(self, name: str) -> MemoryVm:
        vm = self.scene.pool.add_vm(name, self.scene.pool.add_disk(f"{name} root"))
        vm.power_state, vm.host_id = PowerState.RUNNING, "host-1"
        return vm

    async def open(
        self,
        number: int,
        method: Method = Method.NORMAL,
        options: Options | None = None,
        bases: tuple[Base, ...] = (),
    ) -> Source:
        member = self.members[number]
        opened = await self.scene.inside.sources.open(
            POOL_ID,
            member.vm_id,
            member.source_id,
            method,
            bases,
            FullReason.FIRST_BACKUP,
            options or Options(),
            group=(self.id, self.members),
        )
        return opened.source

    async def open_all(self, method: Method = Method.NORMAL, options: Options | None = None) -> list[Source]:
        return list(await asyncio.gather(*(self.open(number, method, options) for number in range(3))))

    async def refused(self, method: Method = Method.NORMAL, options: Options | None = None) -> XenkeepError:
        """The same error for every member, and nothing left."""
        told = await asyncio.gather(
            *(self.open(number, method, options) for number in range(3)), return_exceptions=True
        )
        errors = [each for each in told if isinstance(each, XenkeepError)]
        assert 3 == len(errors)
        assert 1 == len({(error.kind, error.reason, error.message) for error in errors})
        assert self.untouched
        return errors[0]

    @property
    def snapshots(self) -> list[str]:
        return [vm.source_id for vm in self.scene.pool.vms.values() if vm.source_id]

    @property
    def untouched(self) -> bool:
        runs = all(vm.power_state is PowerState.RUNNING for vm in self.vms)
        return runs and not self.snapshots and 4 == len(self.scene.pool.disks)


@pytest.fixture
def application(scene: Scene) -> Application:
    return Application(scene)


async def test_the_first_that_is_opened_has_all_of_them_taken(application: Application) -> None:
    first = await application.open(0)
    assert {member.source_id for member in application.members} == set(application.snapshots)
    others = [await application.open(number) for number in (1, 2)]
    assert 3 == len(application.snapshots)
    [moment] = {source.group for source in (first, *others)}
    assert moment is not None
    assert (application.id, 3) == (moment.group_id, moment.vm_count)
    assert all(SourceState.OPEN is source.state for source in (first, *others))


async def test_nobody_begins_before_all_are_ready_or_goes_on_before_all_are_taken(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, frozen = application.scene, []
    for vm in application.vms:
        scene.agents.guests[vm.vm_id] = MemoryAgent()
    take: Take = scene.pool.take_snapshot

    async def watched(vm_id: str, *args: Any) -> Snapshot:
        frozen.append([scene.agents.frozen(vm.vm_id) for vm in application.vms])
        snapshot = await take(vm_id, *args)
        frozen.append([scene.agents.frozen(vm.vm_id) for vm in application.vms])
        return snapshot

    monkeypatch.setattr(scene.pool, "take_snapshot", watched)
    first = await application.open(0, Method.QUIESCED)
    assert [[True] * 3] * 6 == frozen[:6]
    assert not any(scene.agents.frozen(vm.vm_id) for vm in application.vms)
    assert Consistency.APPLICATION is first.consistency


async def test_how_far_they_lie_apart_is_told(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    take: Take = application.scene.pool.take_snapshot

    async def slow(vm_id: str, *args: Any) -> Snapshot:
        if vm_id == application.vms[1].vm_id:
            await asyncio.sleep(0.05)
        return await take(vm_id, *args)

    monkeypatch.setattr(application.scene.pool, "take_snapshot", slow)
    sources = await application.open_all()
    [moment] = {source.group for source in sources}
    assert moment is not None and moment.spread_ms >= 50


async def test_each_is_read_relative_to_its_own_base(application: Application) -> None:
    first = await application.open_all()
    for source in first:
        await application.scene.close(source)
    bases = [tuple(Base(d.disk_id, d.tracking_ref) for d in source.disks) for source in first]
    application.anew()
    second = [await application.open(number, bases=bases[number]) for number in range(3)]
    assert all(disk.incremental for source in second for disk in source.disks)


async def test_if_one_cannot_be_captured_none_is(application: Application) -> None:
    application.vms[2].reacts = False
    error = await application.refused(Method.OFFLINE, Options(offline=Offline(deadline_s=7.0)))
    assert isinstance(error, FailedPrecondition)
    assert "SHUTDOWN_REFUSED" == error.reason
    assert "of the group could not be captured" in error.message
    assert () == await application.scene.inside.source_store.unfinished(POOL_ID)
    assert "SHUTDOWN_REFUSED" == (await application.refused()).reason


async def test_if_one_snapshot_fails_the_others_are_removed(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    take: Take = application.scene.pool.take_snapshot

    async def full(vm_id: str, *args: Any) -> Snapshot:
        if vm_id == application.vms[1].vm_id:
            raise ResourceExhausted("The storage is full.", reason="SR_FULL")
        return await take(vm_id, *args)

    monkeypatch.setattr(application.scene.pool, "take_snapshot", full)
    error = await application.refused(Method.OFFLINE)
    assert isinstance(error, ResourceExhausted)
    assert "The storage is full." in error.message


async def test_what_could_not_be_asked_for_may_be_asked_for_again(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    take: Take = application.scene.pool.take_snapshot

    async def gone(vm_id: str, *args: Any) -> Snapshot:
        if vm_id == application.vms[1].vm_id:
            raise Unavailable("The pool is gone.", reason="POOL_UNREACHABLE")
        return await take(vm_id, *args)

    with monkeypatch.context() as patch:
        patch.setattr(application.scene.pool, "take_snapshot", gone)
        with pytest.raises(Unavailable):
            await application.open(0)
    sources = await application.open_all()
    assert 3 == len(application.snapshots)
    assert 1 == len({source.group for source in sources})


async def test_a_snapshot_that_somebody_removed_is_not_taken_again_at_another_moment(
    application: Application,
) -> None:
    await application.open(0)
    [snapshot] = [
        vm for vm in application.scene.pool.vms.values() if vm.source_id == application.members[1].source_id
    ]
    del application.scene.pool.vms[snapshot.vm_id]
    with pytest.raises(FailedPrecondition) as refused:
        await application.open(1)
    assert "SNAPSHOT_GONE" == refused.value.reason


async def test_one_that_was_given_up_before_takes_the_others_with_it(application: Application) -> None:
    store = application.scene.inside.source_store
    member = application.members[1]
    await application.scene.inside.sources.open(
        POOL_ID, member.vm_id, member.source_id, Method.NORMAL, (), FullReason.FIRST_BACKUP, Options()
    )
    await application.scene.inside.sources.close(POOL_ID, member.source_id, committed=False)
    with pytest.raises(Aborted) as refused:
        await application.open(0)
    assert "GROUP_MEMBER_GONE" == refused.value.reason
    assert application.untouched
    assert () == await store.unfinished(POOL_ID)


async def test_one_that_nobody_opens_is_closed_after_a_day(application: Application) -> None:
    inside = application.scene.inside
    first = await application.open(0)
    await inside.janitor.clean(POOL_ID, search=True)
    assert 3 == len(application.snapshots)
    for member in application.members:
        source = await inside.source_store.get(member.source_id)
        assert source is not None
        long_ago = source.created - 2 * RESERVED_FOR
        await inside.source_store.save(replace(source, created=long_ago))
    await inside.janitor.clean(POOL_ID, search=True)
    assert [first.source_id] == application.snapshots


@pytest.mark.parametrize("wrong", ["alone", "twice", "somebody else"])
async def test_a_group_that_makes_no_sense_is_refused(application: Application, wrong: str) -> None:
    one, two, three = application.members
    application.members = {
        "alone": (one,),
        "twice": (one, two, Member(POOL_ID, two.vm_id, str(uuid.uuid4()))),
        "somebody else": (two, three),
    }[wrong]
    with pytest.raises(InvalidInput) as refused:
        await application.scene.inside.sources.open(
            POOL_ID,
            one.vm_id,
            one.source_id,
            Method.NORMAL,
            (),
            FullReason.FIRST_BACKUP,
            Options(),
            group=(application.id, application.members),
        )
    assert "GROUP_INVALID" == refused.value.reason
    assert application.untouched


async def test_the_id_of_a_group_is_that_of_one_group(application: Application) -> None:
    await application.open(0)
    id = application.id
    application.anew()
    application.id = id
    with pytest.raises(InvalidInput) as refused:
        await application.open(0)
    assert "GROUP_ID_TAKEN" == refused.value.reason
