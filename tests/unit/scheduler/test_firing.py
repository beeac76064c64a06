"""Policies that run by themselves."""

from dataclasses import replace
from datetime import timedelta

from services.scheduler.domain.run import RunState
from tests.unit.scheduler.fakes import START, World, vm

HOUR = 3600


def world() -> World:
    return World(vm("a"))


async def test_a_firing_makes_one_run_and_sets_the_next_time() -> None:
    w = world()
    await w.policy(schedule="0 22 * * *")
    assert await w.firing.round() == START + timedelta(hours=22)
    assert w.ledger.runs.kept == {}
    await w.clock.advance(22 * HOUR)
    assert await w.firing.round() == START + timedelta(hours=46)
    assert await w.firing.round() == START + timedelta(hours=46)
    (run,) = w.ledger.runs.kept.values()
    assert (run.policy_id, run.notices) == ("nightly", ())


async def test_firings_missed_while_down_are_one_late_run_that_says_so() -> None:
    w = world()
    await w.policy(schedule="0 22 * * *")
    await w.clock.advance((22 + 48) * HOUR + 600)
    await w.firing.round()
    (run,) = w.ledger.runs.kept.values()
    assert [notice.code for notice in run.notices] == ["FIRED_LATE"]
    assert run.notices[0].message == (
        "Due at 2026-01-01 22:00 UTC, started at 2026-01-03 22:10 UTC: the scheduler was not running."
        " This run stands for 2 later firings too."
    )
    assert w.ledger.policies.kept["nightly"].next_run_time == START + timedelta(hours=94)


async def test_a_firing_while_the_run_before_is_active_is_left_out_and_recorded_on_it() -> None:
    w = world()
    await w.policy(schedule="0 * * * *")
    for _ in range(2):
        await w.clock.advance(HOUR)
        await w.firing.round()
    (run,) = w.ledger.runs.kept.values()
    assert run.state is RunState.PENDING
    assert [notice.message for notice in run.notices] == [
        "The firing of 2026-01-01 02:00 UTC was left out because this run had not ended."
    ]
    for _ in range(2):
        await w.clock.advance(HOUR)
        await w.firing.round()
    (run,) = w.ledger.runs.kept.values()
    assert [notice.message for notice in run.notices] == [
        "3 firings were left out because this run had not ended, the last of 2026-01-01 04:00 UTC."
    ]


async def test_a_paused_policy_does_not_fire() -> None:
    w = world()
    await w.policy(schedule="0 * * * *", paused=True)
    await w.clock.advance(10 * HOUR)
    assert await w.firing.round() is None
    assert w.ledger.runs.kept == {}


async def test_two_policies_due_at_once_both_fire() -> None:
    w = world()
    await w.policy("one", schedule="0 * * * *")
    await w.policy("two", schedule="0 * * * *")
    await w.clock.advance(HOUR)
    await w.firing.round()
    assert sorted(run.policy_id for run in w.ledger.runs.kept.values()) == ["one", "two"]


async def test_a_policy_whose_time_zone_was_abolished_is_paused_and_says_why_and_the_others_fire() -> None:
    w = world()
    broken = await w.policy("broken", schedule="0 * * * *")
    await w.policy("sound", schedule="0 * * * *")
    async with w.ledger.writing() as work:
        await work.policies.put(replace(broken, time_zone="Europe/Atlantis"))
    await w.clock.advance(HOUR)
    await w.firing.round()
    runs = {run.policy_id: run for run in w.ledger.runs.kept.values()}
    assert (runs["broken"].state, runs["sound"].state) == (RunState.FAILED, RunState.PENDING)
    failure = runs["broken"].failure
    assert failure is not None
    assert failure.reason == "TIME_ZONE_UNKNOWN"
    assert w.ledger.policies.kept["broken"].paused
