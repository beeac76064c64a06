"""The scheduler as a process, between a real NATS, real gRPC and a mover that keeps to the contract."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.catalog.v1 import catalog_pb2
from xenkeep.hypervisor.v1 import restore_target_pb2
from xenkeep.mover.v1 import events_pb2 as mover_events
from xenkeep.scheduler.v1 import events_pb2, policy_pb2, run_pb2

from services.chassis.bus.subscribe import tail
from services.chassis.errors import Unavailable, XenkeepError
from services.chassis.rpc.channel import error_from_rpc
from tests.integration.scheduler.neighbours import REPOSITORY, SITE, point
from tests.integration.scheduler.scripted_mover import fail_first, hang
from tests.integration.scheduler.stack import Stack, scheduler_stack, scheduler_stubs
from tests.support.nats import NatsServer
from tests.support.waiting import PATIENCE_S

READY: Any = {"timeout": 60, "wait_for_ready": True}
EVENTS = [
    events_pb2.RunStarted,
    events_pb2.RunFinished,
    events_pb2.RunFailed,
    events_pb2.RunCancelled,
    events_pb2.TaskFinished,
    events_pb2.TaskFailed,
    events_pb2.TaskSkipped,
]


def backup(*vms: str) -> run_pb2.CreateRunRequest:
    return run_pb2.CreateRunRequest(
        spec=run_pb2.RunSpec(backup=run_pb2.BackupRun(vms=vms, repository="main"))
    )


async def watched(runs: Any, name: str) -> list[run_pb2.Run]:
    """Every state of the run that was streamed, to its end."""
    return [run async for run in runs.WatchRun(run_pb2.WatchRunRequest(name=name), timeout=PATIENCE_S)]


async def events_until(stack: Stack, last: type[Any], since: datetime) -> list[str]:
    """Names of the scheduler's events up to the first ``last``."""
    seen = []
    async with aclosing(tail(stack.bus, EVENTS, since=since)) as stream:
        async for event, _ in stream:
            seen.append(type(event).__name__)
            if isinstance(event, last):
                break
    return seen


async def refusal(call: Any) -> XenkeepError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return error_from_rpc(refused.value)


async def test_a_backup_by_hand_runs_to_its_end_and_everybody_is_told(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    since = datetime.now(UTC)
    async with scheduler_stack(nats_server, tmp_path, "web", "db", "mail") as stack:
        async with scheduler_stubs(stack) as (_, runs):
            created = await runs.CreateRun(backup("web", "uuid-db"), **READY)
            assert created.state == run_pb2.Run.STATE_PENDING
            states = await watched(runs, created.name)
            listed = await runs.ListRuns(run_pb2.ListRunsRequest(), timeout=PATIENCE_S)
            short = run_pb2.GetRunRequest(name=created.name[: len("runs/") + 8])
            assert (await runs.GetRun(short, timeout=PATIENCE_S)).name == created.name
        run = states[-1]
        assert run.state == run_pb2.Run.STATE_SUCCEEDED
        assert [task.subject_display_name for task in run.tasks] == ["db", "web"]
        assert [task.result.notices[0].code for task in run.tasks] == ["FULL_INSTEAD"] * 2
        assert [each.name for each in listed.runs] == [created.name]
        specs = {work.spec.backup.vm: work.spec.backup for work in stack.mover.received}
        assert specs["pools/pool-1/vms/uuid-db"].repository == f"repositories/{REPOSITORY}"
        assert specs["pools/pool-1/vms/uuid-db"].run == created.name
        assert sorted(await events_until(stack, events_pb2.RunFinished, since)) == [
            "RunFinished",
            "RunStarted",
            "TaskFinished",
            "TaskFinished",
        ]


async def test_a_policy_is_made_run_and_retried_by_its_rule(nats_server: NatsServer, tmp_path: Path) -> None:
    wanted = policy_pb2.Policy(
        name="policies/nightly",
        selector=policy_pb2.VmSelector(pool="lab", all=True),
        repository="main",
        schedule="0 22 * * *",
        time_zone="Europe/Berlin",
        retry=policy_pb2.RetryRule(retries=1),
    )
    async with (
        scheduler_stack(nats_server, tmp_path, "web", script=fail_first(retryable=True)) as stack,
        scheduler_stubs(stack) as (policies, runs),
    ):
        request = policy_pb2.CreatePolicyRequest(policy=wanted)
        made = await policies.CreatePolicy(request, **READY)
        assert made.next_run_time.ToDatetime(tzinfo=UTC) > datetime.now(UTC)
        error = await refusal(policies.CreatePolicy(request, timeout=PATIENCE_S))
        assert (error.kind, error.reason) == ("AlreadyExists", "POLICY_EXISTS")
        never = policy_pb2.Policy(name="n", selector=made.selector, repository="main", schedule="0 0 31 2 *")
        error = await refusal(
            policies.CreatePolicy(policy_pb2.CreatePolicyRequest(policy=never), timeout=PATIENCE_S)
        )
        assert (error.kind, error.reason) == ("InvalidInput", "SCHEDULE_NEVER_FIRES")
        spec = run_pb2.RunSpec(policy=run_pb2.PolicyRun(policy=made.name))
        created = await runs.CreateRun(run_pb2.CreateRunRequest(spec=spec), timeout=PATIENCE_S)
        run = (await watched(runs, created.name))[-1]
        assert (run.state, run.tasks[0].attempt) == (run_pb2.Run.STATE_SUCCEEDED, 2)
        assert [notice.code for notice in run.tasks[0].notices] == ["NBD_CONNECTION_LOST", "TRY_FAILED"]
        assert len({work.transfer_id for work in stack.mover.received}) == 2
        assert {work.spec.backup.policy for work in stack.mover.received} == {"nightly"}


async def test_a_cancelled_run_ends_when_the_mover_has_stopped(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with (
        scheduler_stack(nats_server, tmp_path, "web", script=hang) as stack,
        scheduler_stubs(stack) as (_, runs),
    ):
        created = await runs.CreateRun(backup("web"), **READY)
        await asyncio.wait_for(stack.mover.has_received.wait(), PATIENCE_S)
        transfer_id = stack.mover.received[0].transfer_id
        since = datetime.now(UTC)
        cancelled = await runs.CancelRun(run_pb2.CancelRunRequest(name=created.name), timeout=PATIENCE_S)
        assert cancelled.state == run_pb2.Run.STATE_RUNNING
        async with aclosing(tail(stack.bus, [events_pb2.TransferCancelRequested], since=since)) as stream:
            event, _ = await anext(stream)
        assert (event.transfer_id, event.site) == (transfer_id, SITE)
        await stack.mover.publish(mover_events.TransferCancelled(transfer=f"transfers/{transfer_id}"))
        assert (await watched(runs, created.name))[-1].state == run_pb2.Run.STATE_CANCELLED


async def test_a_run_waits_for_the_hypervisor_service_and_goes_on_by_itself(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with (
        scheduler_stack(nats_server, tmp_path, "web") as stack,
        scheduler_stubs(stack) as (_, runs),
    ):
        stack.hypervisor.trouble = Unavailable("The pools are being read.", reason="INVENTORY_EMPTY")
        created = await runs.CreateRun(backup("web"), **READY)
        async for run in runs.WatchRun(run_pb2.WatchRunRequest(name=created.name), timeout=PATIENCE_S):
            if run.activity:
                assert run.activity == "Waits for a neighbour: The pools are being read."
                stack.hypervisor.trouble = None
        assert run.state == run_pb2.Run.STATE_SUCCEEDED


async def test_a_restore_is_given_to_the_movers_of_its_repository_unless_the_point_is_damaged(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    def restore(name: str) -> run_pb2.CreateRunRequest:
        placement = restore_target_pb2.Placement(pool="lab", vm_display_name="copy", start=True)
        return run_pb2.CreateRunRequest(
            spec=run_pb2.RunSpec(restore=run_pb2.RestoreRun(restore_point=name, placement=placement))
        )

    async with (
        scheduler_stack(nats_server, tmp_path, "web") as stack,
        scheduler_stubs(stack) as (_, runs),
    ):
        sound, damaged = "restorePoints/sound", "restorePoints/damaged"
        stack.catalog.points[sound] = catalog_pb2.RestorePoint(
            name=sound, point=point("sound"), state=catalog_pb2.RestorePoint.STATE_AVAILABLE
        )
        stack.catalog.points[damaged] = catalog_pb2.RestorePoint(
            name=damaged,
            point=point("damaged"),
            state=catalog_pb2.RestorePoint.STATE_DAMAGED,
            state_message="pack 3f is torn",
        )
        created = await runs.CreateRun(restore(sound), **READY)
        run = (await watched(runs, created.name))[-1]
        assert (run.state, run.tasks[0].result.vm) == (
            run_pb2.Run.STATE_SUCCEEDED,
            "pools/pool-1/vms/restored",
        )
        spec = stack.mover.received[0].spec.restore
        assert (spec.point_id, spec.repository, spec.placement.pool) == (
            "sound",
            f"repositories/{REPOSITORY}",
            "pools/pool-1",
        )
        error = await refusal(runs.CreateRun(restore(damaged), timeout=PATIENCE_S))
        assert (error.kind, error.reason) == ("FailedPrecondition", "RESTORE_POINT_DAMAGED")
        assert "pack 3f is torn" in error.message
        error = await refusal(runs.CreateRun(restore("restorePoints/unknown"), timeout=PATIENCE_S))
        assert (error.kind, error.reason) == ("NotFound", "RESTORE_POINT_NOT_FOUND")


async def test_hostile_requests_and_strangers_are_answered_not_obeyed(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with scheduler_stack(nats_server, tmp_path, "web") as stack:
        async with scheduler_stubs(stack) as (_, runs):
            await runs.ListRuns(run_pb2.ListRunsRequest(), **READY)
            for bad in (
                runs.CreateRun(run_pb2.CreateRunRequest(), timeout=PATIENCE_S),
                runs.CreateRun(
                    run_pb2.CreateRunRequest(spec=backup("web").spec, request_id="not a uuid"),
                    timeout=PATIENCE_S,
                ),
                runs.ListRuns(run_pb2.ListRunsRequest(page_token="!"), timeout=PATIENCE_S),
                runs.ListRuns(run_pb2.ListRunsRequest(page_token="WyJ4IiwieSJd"), timeout=PATIENCE_S),
                runs.ListRuns(run_pb2.ListRunsRequest(page_size=-1), timeout=PATIENCE_S),
                runs.GetRun(run_pb2.GetRunRequest(name="policies/x"), timeout=PATIENCE_S),
            ):
                assert (await refusal(bad)).kind == "InvalidInput"
            for unknown in (
                runs.CreateRun(backup("gone"), timeout=PATIENCE_S),
                runs.GetRun(run_pb2.GetRunRequest(name="runs/%%%%%%%%"), timeout=PATIENCE_S),
            ):
                assert (await refusal(unknown)).kind == "NotFound"
        async with scheduler_stubs(stack, "mover") as (_, runs):
            stranger = await refusal(runs.ListRuns(run_pb2.ListRunsRequest(), timeout=PATIENCE_S))
            assert stranger.kind == "PermissionDenied"
