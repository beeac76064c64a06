"""Executing policies when their time has come."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.chassis.clock import Clock
from services.chassis.errors import InvalidInput
from services.chassis.ids import IdSource
from services.scheduler.app.record import record
from services.scheduler.domain.calendar import firings_between, zone_of
from services.scheduler.domain.notes import Notice, failure_of
from services.scheduler.domain.policy import Policy, timed
from services.scheduler.domain.run import PolicyRun, Run, firing_left_out, refused
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
                try:
                    following = timed(policy, now)
                except InvalidInput as error:
                    await self._give_up(work, policy, error, now)
                    continue
                await self._fire(work, policy, now)
                await work.policies.put(following)
            return await work.policies.next_run_time()

    async def _fire(self, work: Work, policy: Policy, now: datetime) -> None:
        due = policy.next_run_time
        assert due is not None
        if active := await work.runs.active_of_policy(policy.policy_id):
            await record(work, active, firing_left_out(active, due))
            return
        run = self._run(policy, now)
        if now - due > LATE:
            run = replace(run, notices=(_late(policy, due, now),))
        await record(work, None, run)

    async def _give_up(self, work: Work, policy: Policy, error: InvalidInput, now: datetime) -> None:
        """What was accepted once is no longer understood: a time zone can be abolished. One such policy must
        not stop the others, and must not stop in silence: it is paused, and a failed run tells why.
        """
        await work.policies.put(replace(policy, paused=True, next_run_time=None))
        await record(work, None, refused(self._run(policy, now), failure_of(error), now))

    def _run(self, policy: Policy, now: datetime) -> Run:
        return Run(self._ids.new(), PolicyRun(policy.policy_id), terms_of_policy(policy, full=False), now)


def _late(policy: Policy, due: datetime, now: datetime) -> Notice:
    missed = firings_between(policy.schedule, zone_of(policy.time_zone), due, now)
    more = f" This run stands for {missed} later firings too." if missed else ""
    return Notice(
        "FIRED_LATE",
        f"Due at {_minute(due)}, started at {_minute(now)}: the scheduler was not running.{more}",
    )


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
