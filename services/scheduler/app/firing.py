"""Executing policies when their time has come."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.chassis.clock import Clock
from services.chassis.ids import IdSource
from services.scheduler.app.record import record
from services.scheduler.domain.calendar import firings_between, zone_of
from services.scheduler.domain.notes import Notice
from services.scheduler.domain.policy import Policy, timed
from services.scheduler.domain.run import PolicyRun, Run, noted
from services.scheduler.domain.terms import terms_of_policy
from services.scheduler.ports import Ledger, Work

LATE = timedelta(minutes=2)


class Firing:
    """A firing is the run it makes and the policy's next time, in one transaction: never twice or lost."""

    def __init__(self, ledger: Ledger, clock: Clock, ids: IdSource) -> None:
        self._ledger, self._clock, self._ids = ledger, clock, ids

    async def round(self) -> datetime | None:
        """Fire what is due; returns when the next policy is."""
        async with self._ledger.reading() as work:
            next_time = await work.policies.next_run_time()
        if next_time is None or next_time > self._clock.now():
            return next_time
        async with self._ledger.writing() as work:
            now = self._clock.now()
            for policy in await work.policies.due(now):
                await self._fire(work, policy, now)
                await work.policies.put(timed(policy, now))
            return await work.policies.next_run_time()

    async def _fire(self, work: Work, policy: Policy, now: datetime) -> None:
        due = policy.next_run_time
        assert due is not None
        if active := await work.runs.active_of_policy(policy.policy_id):
            notice = Notice(
                "FIRING_SKIPPED",
                f"The firing of {_minute(due)} was left out: this run had not ended.",
            )
            await record(work, active, noted(active, notice))
            return
        run = Run(self._ids.new(), PolicyRun(policy.policy_id), terms_of_policy(policy, full=False), now)
        if now - due > LATE:
            run = replace(run, notices=(_late(policy, due, now),))
        await record(work, None, run)


def _late(policy: Policy, due: datetime, now: datetime) -> Notice:
    missed = firings_between(policy.schedule, zone_of(policy.time_zone), due, now)
    more = f" This run stands for {missed} later firings too." if missed else ""
    return Notice(
        "FIRED_LATE",
        f"Due at {_minute(due)}, started at {_minute(now)}: the scheduler was not running.{more}",
    )


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
