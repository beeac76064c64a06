"""Policies: what is accepted, and what an update makes of one."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.chassis.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from services.scheduler.domain.capture import Capture, Hook, Moment
from services.scheduler.domain.groups import Grouping
from services.scheduler.domain.policy import Limits, Method, Policy, RetryRule, Selector, check, timed
from services.scheduler.domain.pool_metadata import PoolMetadata
from services.scheduler.domain.run import PolicyRun
from tests.unit.scheduler.fakes import World, vm

GOOD = Policy("nightly", Selector(all=True), "main", schedule="0 22 * * *")
CHANGES: list[dict[str, Any]] = [
    {"selector": Selector(all=True, excluded_vms=("a",))},
    {"repository": "repositories/r1"},
    {"method": Method.OFFLINE},
    {"schedule": "0 23 * * *"},
    {"time_zone": "Europe/Berlin"},
    {"retry": RetryRule(1)},
    {"limits": Limits(tasks_per_sr=1)},
    {"paused": True},
    {"capture": Capture(hooks=(Hook(Moment.BEFORE_SNAPSHOT, "https://hooks.example.com/"),))},
    {"pool_metadata": PoolMetadata(hosts=True)},
    {"grouping": Grouping(everything=True)},
]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (replace(GOOD, policy_id="Nightly"), "name"),
        (replace(GOOD, policy_id=""), "name"),
        (replace(GOOD, policy_id="a" * 64), "name"),
        (replace(GOOD, policy_id="trailing-"), "name"),
        (replace(GOOD, policy_id="../x"), "name"),
        (replace(GOOD, selector=Selector()), "selector"),
        (replace(GOOD, selector=Selector(excluded_vms=("a",))), "selector"),
        (replace(GOOD, selector=Selector(vms=("",))), "selector"),
        (replace(GOOD, repository=""), "repository"),
        (replace(GOOD, retry=RetryRule(-1)), "retry.retries"),
        (replace(GOOD, retry=RetryRule(1, timedelta(days=2))), "retry.delay_duration"),
        (replace(GOOD, limits=Limits(tasks_per_run=-1)), "limits.tasks_per_run"),
        (replace(GOOD, limits=Limits(connections_per_disk=17)), "limits.connections_per_disk"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_naming_the_field(bad: Policy, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check(bad)
    assert list(refused.value.metadata) == [field]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        check(Policy("X", Selector(), ""))
    assert set(refused.value.metadata) == {"name", "selector", "repository"}


def test_a_paused_policy_has_no_next_run_time() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert timed(GOOD, now).next_run_time == datetime(2026, 1, 1, 22, tzinfo=UTC)
    assert timed(replace(GOOD, paused=True), now).next_run_time is None


async def test_a_second_policy_of_a_name_is_refused_with_the_way_out() -> None:
    world = World(vm("a"))
    await world.policy()
    with pytest.raises(AlreadyExists, match="--replace"):
        await world.policy()


@pytest.mark.parametrize(
    "wanted", [replace(GOOD, repository="other"), replace(GOOD, selector=Selector(pool="p9", all=True))]
)
async def test_a_policy_for_an_unknown_repository_or_pool_is_refused(wanted: Policy) -> None:
    world = World(vm("a"))
    with pytest.raises(NotFound):
        await world.policies.create(wanted)
    assert world.ledger.policies.kept == {}


async def test_an_update_with_a_stale_etag_is_refused() -> None:
    world = World(vm("a"))
    first = await world.policy(schedule="0 22 * * *")
    second = await world.policies.update(replace(first, schedule="0 23 * * *"))
    assert second.etag != first.etag
    assert second.next_run_time == datetime(2026, 1, 1, 23, tzinfo=UTC)
    with pytest.raises(FailedPrecondition) as refused:
        await world.policies.update(first)
    assert refused.value.reason == "POLICY_CHANGED"


async def test_an_update_that_says_the_same_changes_nothing() -> None:
    world = World(vm("a"))
    first = await world.policy(schedule="0 22 * * *")
    await world.clock.advance(23 * 3600)

    assert await world.policies.update(replace(first, etag="", create_time=None, next_run_time=None)) == first
    assert world.ledger.policies.kept == {"nightly": first}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
async def test_what_an_update_would_make_of_a_policy_is_told_before(change: dict[str, Any]) -> None:
    """Of each field that a person writes, also those that are yet to come."""
    world = World(vm("a"))
    first = await world.policy(schedule="0 22 * * *")

    assert await world.policies.updated(replace(first, etag="")) == first
    other = await world.policies.updated(replace(first, etag="", **change))

    assert other.etag != first.etag
    assert world.ledger.policies.kept == {"nightly": first}


def test_each_field_that_a_person_writes_is_changed_once() -> None:
    service_adds = {"policy_id", "etag", "create_time", "next_run_time"}
    assert {each.name for each in fields(Policy)} - service_adds == {
        name for each in CHANGES for name in each
    }


async def test_an_update_that_leaves_the_times_alone_keeps_a_firing_that_is_due() -> None:
    world = World(vm("a"))
    first = await world.policy(schedule="0 22 * * *")
    await world.clock.advance(23 * 3600)
    second = await world.policies.update(replace(first, etag="", repository="repositories/r1"))
    assert second.next_run_time == first.next_run_time
    assert second.create_time == first.create_time


async def test_a_deleted_policy_keeps_its_runs_and_is_unknown_afterwards() -> None:
    world = World(vm("a"))
    await world.policy()
    run = await world.starting.create(PolicyRun("nightly"), "")
    await world.policies.delete("nightly")
    await world.settle()
    assert len(world.run(run.run_id).tasks) == 1
    with pytest.raises(NotFound):
        await world.policies.delete("nightly")
