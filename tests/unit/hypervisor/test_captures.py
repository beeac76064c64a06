"""Opening sources by every method and with every option, on a pool in memory."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.clock import SystemClock
from services.chassis.errors import Aborted, FailedPrecondition, InvalidInput, ResourceExhausted, Unavailable
from services.chassis.ids import RandomIds
from services.hypervisor.adapters.memory_agents import MemoryAgents
from services.hypervisor.adapters.memory_objects import MemoryVm
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.domain.capture import Hook, Moment, Offline, Options
from services.hypervisor.domain.disk_rules import DiskRules
from services.hypervisor.domain.methods import NO_AGENT
from services.hypervisor.domain.source import Consistency, Source
from services.hypervisor.domain.target import Mode, Placement, TargetDisk
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method, PowerState
from services.hypervisor.ports.snapshots import Snapshot
from tests.support.hypervisor_house import POOL_ID, House, house

BEFORE = Hook(Moment.BEFORE_SNAPSHOT, "https://one/secret")
AFTER = Hook(Moment.AFTER_SNAPSHOT, "https://two/secret")
STAY_OFF = Options(offline=Offline(stay_off=True))


@dataclass
class Answers:
    """``Hooks``: what they were asked, and what they answer by host."""

    wrong: dict[str, str] = field(default_factory=dict)
    calls: list[dict[str, str]] = field(default_factory=list)

    async def call(self, hook: Hook, body: dict[str, str]) -> str:
        self.calls.append(body)
        return self.wrong.get(hook.host, "")

    @property
    def moments(self) -> list[str]:
        return [call["moment"] for call in self.calls]


@dataclass
class Scene:
    pool: MemoryPool
    inside: House
    answers: Answers
    agents: MemoryAgents
    vm: MemoryVm

    async def open(self, method: Method, options: Options | None = None, id: str = "") -> Source:
        asked = FullReason.FIRST_BACKUP
        id = id or str(uuid.uuid4())
        opened = await self.inside.sources.open(
            POOL_ID, self.vm.vm_id, id, method, (), asked, options or Options()
        )
        return opened.source

    async def close(self, source: Source, committed: bool = True) -> None:
        await self.inside.sources.close(POOL_ID, source.source_id, committed)

    def power(self) -> PowerState:
        return self.vm.power_state

    @property
    def untouched(self) -> bool:
        """No snapshot, no more disks, and the VM runs."""
        runs = self.vm.power_state is PowerState.RUNNING
        return runs and [self.vm] == list(self.pool.vms.values()) and len(self.pool.disks) == 2


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    pool = MemoryPool(SystemClock(), RandomIds())
    vm = pool.add_vm("web", pool.add_disk("root"), pool.add_disk("data"))
    vm.power_state, vm.host_id = PowerState.RUNNING, "host-1"
    answers, agents = Answers(), MemoryAgents(SystemClock())
    async with house(tmp_path, pool, hooks=answers, agents=agents) as inside:
        yield Scene(pool, inside, answers, agents, vm)


async def test_an_excluded_disk_is_not_in_the_snapshot_and_is_named(scene: Scene) -> None:
    source = await scene.open(Method.NORMAL, Options(disks=DiskRules(exclude=("name:data", "tag:none"))))
    assert ["root"] == [disk.display_name for disk in source.disks]
    assert ["DISK_EXCLUDED", "DISK_RULE_UNUSED"] == [notice.code for notice in source.notices]
    assert not scene.pool.disks[scene.vm.disks["1"]].tracked
    [snapshot] = [vm for vm in scene.pool.vms.values() if vm.source_id]
    assert ["0"] == list(snapshot.disks)


async def test_a_point_without_a_disk_makes_a_vm_without_it_and_says_so(scene: Scene) -> None:
    options, id = Options(disks=DiskRules(exclude=("device:1",))), str(uuid.uuid4())
    opened = await scene.inside.sources.open(
        POOL_ID, scene.vm.vm_id, id, Method.NORMAL, (), FullReason.FIRST_BACKUP, options
    )
    [disk] = opened.source.disks
    placement = Placement(POOL_ID, "", Mode.NEW_VM, "copy", keep_mac_addresses=False, start=False)
    wanted = (TargetDisk(disk.disk_id, disk.size_bytes, disk.display_name),)
    target, endpoints = await scene.inside.targets.prepare(id, placement, opened.configuration, wanted)
    assert ["DISK_NOT_RESTORED"] == [notice.code for notice in target.notices]
    with pytest.raises(Aborted):
        await scene.inside.targets.commit(POOL_ID, id)
    for endpoint, *_ in endpoints.values():
        scene.pool.tickets[endpoint.url.reveal().partition("?")[2]].written = True
    done = await scene.inside.targets.commit(POOL_ID, id)
    assert ["0"] == list(scene.pool.vms[done.vm_id].disks)


async def test_when_nothing_is_left_to_back_up_nothing_is_done(scene: Scene) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await scene.open(Method.OFFLINE, Options(disks=DiskRules(exclude=("name:*",))))
    assert "NOTHING_TO_CAPTURE" == refused.value.reason
    assert scene.untouched


async def test_an_offline_backup_is_of_a_vm_that_was_off_and_runs_again(scene: Scene) -> None:
    source = await scene.open(Method.OFFLINE)
    assert (Consistency.POWERED_OFF, ()) == (source.consistency, source.notices)
    assert (PowerState.RUNNING, "host-1") == (scene.vm.power_state, scene.vm.host_id)


@pytest.mark.parametrize("committed", [True, False])
async def test_a_vm_that_is_to_stay_off_starts_when_closed(scene: Scene, committed: bool) -> None:
    source = await scene.open(Method.OFFLINE, STAY_OFF)
    await scene.inside.janitor.clean(POOL_ID, search=True)
    assert PowerState.HALTED is scene.power()
    await scene.close(source, committed)
    assert PowerState.RUNNING is scene.power()


async def test_a_vm_that_was_off_stays_off(scene: Scene) -> None:
    scene.vm.power_state = PowerState.HALTED
    for options in (Options(), STAY_OFF):
        source = await scene.open(Method.OFFLINE, options)
        assert Consistency.POWERED_OFF is source.consistency
        await scene.close(source)
        assert PowerState.HALTED is scene.power()


async def test_a_vm_that_does_not_shut_down_stays_on_and_the_backup_fails(scene: Scene) -> None:
    scene.vm.reacts = False
    with pytest.raises(FailedPrecondition) as refused:
        await scene.open(Method.OFFLINE, Options(offline=Offline(deadline_s=7.0)))
    assert "SHUTDOWN_REFUSED" == refused.value.reason
    assert "after 7 s" in refused.value.message
    assert scene.untouched


async def test_a_vm_is_switched_off_only_if_the_policy_says_so_and_that_is_told(scene: Scene) -> None:
    scene.vm.reacts = False
    source = await scene.open(Method.OFFLINE, Options(offline=Offline(force=True)))
    assert ["VM_SWITCHED_OFF"] == [notice.code for notice in source.notices]
    assert PowerState.RUNNING is scene.power()


async def test_a_suspended_vm_is_not_shut_down(scene: Scene) -> None:
    scene.vm.power_state = PowerState.SUSPENDED
    with pytest.raises(FailedPrecondition) as refused:
        await scene.open(Method.OFFLINE, Options(offline=Offline(force=True)))
    assert "VM_BAD_POWER_STATE" == refused.value.reason
    assert PowerState.SUSPENDED is scene.power()


async def test_a_vm_that_does_not_start_again_is_told_of_and_tried_until_it_does(scene: Scene) -> None:
    scene.vm.blocked_start = "There is no memory."
    source = await scene.open(Method.OFFLINE)
    assert ["VM_NOT_STARTED"] == [notice.code for notice in source.notices]
    with pytest.raises(ResourceExhausted):
        await scene.close(source)
    assert [scene.vm] == list(scene.pool.vms.values())
    scene.vm.blocked_start = ""
    await scene.inside.janitor.clean(POOL_ID, search=False)
    assert PowerState.RUNNING is scene.power()
    assert () == await scene.inside.source_store.unfinished(POOL_ID)


async def test_a_vm_somebody_started_before_the_snapshot_is_not_called_off(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = scene.pool.ask_to_shut_down

    async def started_at_once(vm_id: str, patience_s: float) -> str:
        told = await ask(vm_id, patience_s)
        scene.vm.power_state = PowerState.RUNNING
        return told

    monkeypatch.setattr(scene.pool, "ask_to_shut_down", started_at_once)
    with pytest.raises(Aborted) as refused:
        await scene.open(Method.OFFLINE)
    assert "VM_STARTED_MEANWHILE" == refused.value.reason
    assert scene.untouched


async def test_a_vm_that_was_on_before_it_had_been_read_is_told_of(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = scene.pool.take_snapshot

    async def started_afterwards(*args: object, **more: object) -> object:
        taken = await take(*args, **more)  # type: ignore[arg-type]
        scene.vm.power_state = PowerState.RUNNING
        return taken

    monkeypatch.setattr(scene.pool, "take_snapshot", started_afterwards)
    source = await scene.open(Method.OFFLINE, STAY_OFF)
    assert Consistency.POWERED_OFF is source.consistency
    assert ["VM_STARTED_EARLY"] == [notice.code for notice in source.notices]


async def test_hooks_are_told_what_happens_to_whom(scene: Scene) -> None:
    source = await scene.open(Method.NORMAL, Options(hooks=(AFTER, BEFORE)))
    name = f"pools/{POOL_ID}/vms/{scene.vm.vm_id}"
    id = f"pools/{POOL_ID}/backupSources/{source.source_id}"
    assert [
        {"vm": name, "moment": "BEFORE_SNAPSHOT", "source": id},
        {"vm": name, "moment": "AFTER_SNAPSHOT", "source": id},
    ] == scene.answers.calls


async def test_a_hook_that_fails_before_stops_the_backup_and_those_after_are_called(scene: Scene) -> None:
    scene.answers.wrong = {"one": "it is on fire"}
    with pytest.raises(FailedPrecondition) as refused:
        await scene.open(Method.OFFLINE, Options(hooks=(BEFORE, AFTER)))
    assert "HOOK_FAILED" == refused.value.reason
    assert "it is on fire" in refused.value.message and "secret" not in str(refused.value)
    assert ["BEFORE_SNAPSHOT", "AFTER_SNAPSHOT"] == scene.answers.moments
    assert scene.untouched


async def test_a_hook_that_fails_afterwards_leaves_no_snapshot_to_go_on_with(scene: Scene) -> None:
    scene.answers.wrong, id = {"two": "no"}, str(uuid.uuid4())
    for _ in range(2):
        with pytest.raises(FailedPrecondition):
            await scene.open(Method.NORMAL, Options(hooks=(BEFORE, AFTER)), id)
        assert scene.untouched
    assert ["BEFORE_SNAPSHOT", "AFTER_SNAPSHOT"] * 2 == scene.answers.moments
    scene.answers.wrong = {}
    assert () == (await scene.open(Method.NORMAL, Options(hooks=(BEFORE, AFTER)), id)).notices


async def test_a_hook_that_may_fail_is_told_of(scene: Scene) -> None:
    scene.answers.wrong = {"one": "no", "two": "neither"}
    hooks = (replace(BEFORE, optional=True), replace(AFTER, optional=True))
    source = await scene.open(Method.NORMAL, Options(hooks=hooks))
    assert ["HOOK_FAILED"] * 2 == [notice.code for notice in source.notices]
    assert not any("secret" in notice.message for notice in source.notices)


async def test_hooks_afterwards_are_called_when_there_could_be_no_snapshot(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise Unavailable("The pool is gone.", reason="POOL_UNREACHABLE")

    monkeypatch.setattr(scene.pool, "take_snapshot", fails)
    with pytest.raises(Unavailable):
        await scene.open(Method.OFFLINE, Options(hooks=(AFTER,)))
    assert ["AFTER_SNAPSHOT"] == scene.answers.moments
    assert scene.untouched


async def test_the_pool_quiesces_where_it_can(scene: Scene) -> None:
    scene.vm.quiesces = True
    source = await scene.open(Method.QUIESCED)
    assert (Consistency.APPLICATION, ()) == (source.consistency, source.notices)


async def test_what_has_to_be_quiesced_and_cannot_is_not_backed_up(scene: Scene) -> None:
    for options in (Options(), Options(quiesce_required=True)):
        with pytest.raises(FailedPrecondition) as refused:
            await scene.open(Method.QUIESCED, options)
        assert "QUIESCE_IMPOSSIBLE" == refused.value.reason
        assert NO_AGENT in refused.value.message
        assert scene.untouched


async def test_what_should_be_quiesced_and_cannot_is_backed_up_and_says_so(scene: Scene) -> None:
    source = await scene.open(Method.QUIESCED, Options(quiesce_required=False))
    assert Consistency.CRASH is source.consistency
    assert ["QUIESCE_DOWNGRADED"] == [notice.code for notice in source.notices]


async def test_the_pool_cannot_quiesce_for_some_disks_only(scene: Scene) -> None:
    scene.vm.quiesces = True
    rules = DiskRules(exclude=("device:1",))
    with pytest.raises(FailedPrecondition, match="disks are left out"):
        await scene.open(Method.QUIESCED, Options(disks=rules))
    source = await scene.open(Method.QUIESCED, Options(quiesce_required=False, disks=rules))
    assert ["QUIESCE_DOWNGRADED", "DISK_EXCLUDED"] == [notice.code for notice in source.notices]
    assert Consistency.CRASH is source.consistency


async def test_a_quiesced_snapshot_that_fails_counts_as_impossible(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.vm.quiesces = True
    take = scene.pool.take_snapshot

    async def fails(*args: object, quiesce: bool = False) -> object:
        if quiesce:
            raise FailedPrecondition("VSS timed out.", reason="QUIESCE_IMPOSSIBLE")
        return await take(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(scene.pool, "take_snapshot", fails)
    with pytest.raises(FailedPrecondition, match="VSS timed out"):
        await scene.open(Method.QUIESCED)
    source = await scene.open(Method.QUIESCED, Options(quiesce_required=False))
    assert "VSS timed out" in source.notices[0].message


async def test_a_snapshot_that_was_not_quiesced_after_all_is_not_called_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.vm.quiesces = True
    take = scene.pool.take_snapshot

    async def plain(*args: Any, quiesce: bool = False) -> Snapshot:
        return replace(await take(*args), quiesced=False)

    monkeypatch.setattr(scene.pool, "take_snapshot", plain)
    with pytest.raises(Aborted) as refused:
        await scene.open(Method.QUIESCED)
    assert "SNAPSHOT_NOT_QUIESCED" == refused.value.reason
    assert scene.untouched


async def test_a_vm_that_is_off_need_not_be_quiesced(scene: Scene) -> None:
    scene.vm.power_state = PowerState.HALTED
    source = await scene.open(Method.QUIESCED)
    assert (Consistency.POWERED_OFF, ()) == (source.consistency, source.notices)


async def test_options_of_another_method_are_refused(scene: Scene) -> None:
    with pytest.raises(InvalidInput):
        await scene.open(Method.NORMAL, STAY_OFF)
    assert scene.untouched


async def test_what_is_stored_of_a_source_holds_no_hook(scene: Scene, tmp_path: Path) -> None:
    await scene.open(Method.NORMAL, Options(hooks=(BEFORE, AFTER)))
    stored = await asyncio.to_thread(lambda: [file.read_bytes() for file in tmp_path.iterdir()])
    assert stored and not any(b"https://" in each for each in stored)
