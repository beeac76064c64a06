"""Guests frozen by their agents: for the snapshot alone, and only what held counts."""

import uuid
from typing import Any

import pytest

from services.chassis.errors import Aborted, FailedPrecondition
from services.hypervisor.adapters.memory_agents import MemoryAgent
from services.hypervisor.domain.capture import Options
from services.hypervisor.domain.source import Consistency
from services.hypervisor.domain.vm import Method
from services.hypervisor.ports.guests import Component
from services.hypervisor.ports.snapshots import Snapshot
from tests.support.hypervisor_house import POOL_ID
from tests.unit.hypervisor.scenes import Scene, codes

PREFER = Options(quiesce_required=False)
WRITERS = (Component("NTDS"), Component("SqlServerWriter", "it timed out"))


def _with_agent(scene: Scene, **more: Any) -> MemoryAgent:
    agent = scene.agents.guests[scene.vm.vm_id] = MemoryAgent(**more)
    return agent


@pytest.mark.parametrize(
    ("applications", "consistency"), [(True, Consistency.APPLICATION), (False, Consistency.FILESYSTEM)]
)
async def test_a_guest_is_frozen_for_its_snapshot_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, applications: bool, consistency: Consistency
) -> None:
    _with_agent(scene, applications=applications)
    take, was = scene.pool.take_snapshot, []

    async def watched(*args: Any) -> Snapshot:
        was.append(scene.agents.frozen(scene.vm.vm_id))
        return await take(*args)

    monkeypatch.setattr(scene.pool, "take_snapshot", watched)
    source = await scene.open(Method.QUIESCED)
    assert (consistency, ()) == (source.consistency, source.notices)
    assert [True] == was
    assert not scene.agents.frozen(scene.vm.vm_id)


@pytest.mark.parametrize("committed", [True, False])
async def test_applications_drop_their_logs_only_after_a_commit(scene: Scene, committed: bool) -> None:
    agent = _with_agent(scene)
    source = await scene.open(Method.QUIESCED)
    assert [] == agent.truncated
    for _ in range(2):
        await scene.close(source, committed)
    assert [source.source_id] * committed == agent.truncated


async def test_a_part_that_was_not_frozen_fails_what_requires_it(scene: Scene) -> None:
    _with_agent(scene, components=WRITERS)
    with pytest.raises(FailedPrecondition, match="SqlServerWriter \\(it timed out\\)") as refused:
        await scene.open(Method.QUIESCED)
    assert "QUIESCE_INCOMPLETE" == refused.value.reason
    assert scene.untouched and not scene.agents.frozen(scene.vm.vm_id)


async def test_a_part_that_was_not_frozen_is_told_of_where_it_is_preferred(scene: Scene) -> None:
    _with_agent(scene, components=WRITERS)
    source = await scene.open(Method.QUIESCED, PREFER)
    assert (Consistency.FILESYSTEM, ["QUIESCE_INCOMPLETE"]) == (source.consistency, codes(source))


async def test_an_agent_that_cannot_freeze_says_why(scene: Scene) -> None:
    _with_agent(scene, broken="its service is stopped")
    with pytest.raises(FailedPrecondition, match="its service is stopped"):
        await scene.open(Method.QUIESCED)
    source = await scene.open(Method.QUIESCED, PREFER)
    assert (Consistency.CRASH, ["QUIESCE_DOWNGRADED"]) == (source.consistency, codes(source))


@pytest.fixture
def slow_snapshots(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest's own limit passes while the snapshot is taken."""
    take = scene.pool.take_snapshot

    async def slow(*args: Any) -> Snapshot:
        scene.agents.guests[scene.vm.vm_id].until = 0.0
        return await take(*args)

    monkeypatch.setattr(scene.pool, "take_snapshot", slow)


@pytest.mark.usefixtures("slow_snapshots")
async def test_a_freeze_that_ended_before_the_snapshot_was_there_does_not_count(scene: Scene) -> None:
    _with_agent(scene)
    with pytest.raises(Aborted) as refused:
        await scene.open(Method.QUIESCED)
    assert "FREEZE_BROKEN" == refused.value.reason
    assert scene.untouched
    source = await scene.open(Method.QUIESCED, PREFER)
    assert (Consistency.CRASH, ["QUIESCE_DOWNGRADED"]) == (source.consistency, codes(source))


async def test_a_guest_thaws_when_its_snapshot_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_agent(scene)

    async def fails(*_: Any) -> Snapshot:
        raise Aborted("No room.", reason="SR_FULL")

    monkeypatch.setattr(scene.pool, "take_snapshot", fails)
    with pytest.raises(Aborted):
        await scene.open(Method.QUIESCED)
    assert not scene.agents.frozen(scene.vm.vm_id)


async def test_the_janitor_thaws_a_guest_nobody_came_back_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_agent(scene)

    freezing, id = scene.inside.sources._captures._freezing, str(uuid.uuid4())

    async def frozen_then_dies(_: Any, source: Any, *__: Any) -> Snapshot:
        await freezing.freeze(source, "the pool cannot")
        raise Died

    monkeypatch.setattr(scene.inside.sources._captures, "_snapshot", frozen_then_dies)
    with pytest.raises(Died):
        await scene.open(Method.QUIESCED, id=id)
    assert scene.agents.frozen(scene.vm.vm_id)
    await scene.inside.janitor.clean(POOL_ID, search=False)
    assert not scene.agents.frozen(scene.vm.vm_id)


class Died(BaseException):
    """As a kill: nothing catches it."""
