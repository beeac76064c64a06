"""Lists of the scheduler in pages: runs of one moment are neither lost nor shown twice."""

from collections.abc import Sequence
from datetime import timedelta

from xenkeep.scheduler.v1 import policy_pb2, run_pb2

from services.scheduler.api.policies import PolicyApi
from services.scheduler.api.runs import RunApi
from services.scheduler.domain.policy import Method, Selector
from services.scheduler.domain.run import BackupRun, BackupTerms, Run
from tests.support.pages import require_whole
from tests.unit.scheduler.fakes import START, World


async def test_runs_are_listed_in_pages_newest_first() -> None:
    world = World()
    terms = BackupTerms(Selector(all=True), "r", Method.NORMAL, False)
    async with world.ledger.writing() as work:
        for run_id, minute in (("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3)):
            created = START + timedelta(minutes=minute)
            await work.runs.put(Run(run_id, BackupRun(("x",), "r"), terms, created))
    api = RunApi(world.starting, world.runs)

    async def ask(size: int, token: str) -> tuple[Sequence[str], str]:
        answer = await api.ListRuns(run_pb2.ListRunsRequest(page_size=size, page_token=token), None)
        return [run.name for run in answer.runs], answer.next_page_token

    await require_whole(ask, [f"runs/{each}" for each in "edcba"])


async def test_policies_are_listed_in_pages_by_id() -> None:
    world = World()
    for policy_id in ("hourly", "nightly", "weekly", "yearly"):
        await world.policy(policy_id)
    api = PolicyApi(world.policies)

    async def ask(size: int, token: str) -> tuple[Sequence[str], str]:
        request = policy_pb2.ListPoliciesRequest(page_size=size, page_token=token)
        answer = await api.ListPolicies(request, None)
        return [policy.name for policy in answer.policies], answer.next_page_token

    await require_whole(ask, [f"policies/{each}" for each in ("hourly", "nightly", "weekly", "yearly")])
