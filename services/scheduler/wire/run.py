"""Runs and their tasks."""

from xenkeep.mover.v1 import transfer_pb2
from xenkeep.scheduler.v1 import run_pb2

from services.chassis.errors import InvalidInput
from services.scheduler.domain.pool_metadata import PoolMetadata
from services.scheduler.domain.run import BackupRun, PolicyRun, RestoreRun, Run, RunSpec, RunState
from services.scheduler.domain.task import Progress, Task, TaskState
from services.scheduler.wire.capture import capture_from_proto, capture_to_proto
from services.scheduler.wire.methods import method_from_proto, method_to_proto
from services.scheduler.wire.names import id_in, policy_name, run_name
from services.scheduler.wire.placement import placement_from_proto, placement_to_proto
from services.scheduler.wire.times import failure_to_proto, notice_to_proto, time_to_proto

_RUN_STATES = {state: run_pb2.Run.State.Value(f"STATE_{state.name}") for state in RunState}
_TASK_STATES = {state: run_pb2.Task.State.Value(f"STATE_{state.name}") for state in TaskState}


def run_to_proto(run: Run) -> run_pb2.Run:
    return run_pb2.Run(
        name=run_name(run.run_id),
        spec=spec_to_proto(run.spec),
        state=_RUN_STATES[run.state],
        tasks=[task_to_proto(task) for task in run.tasks],
        create_time=time_to_proto(run.create_time),
        end_time=time_to_proto(run.end_time),
        failure=failure_to_proto(run.failure),
        activity=run.activity,
        notices=[notice_to_proto(notice) for notice in run.notices],
    )


def task_to_proto(task: Task) -> run_pb2.Task:
    result = transfer_pb2.TransferResult.FromString(task.result) if task.result else None
    return run_pb2.Task(
        name=f"{run_name(task.run_id)}/tasks/{task.task_id}",
        subject=task.subject,
        subject_display_name=task.display_name,
        state=_TASK_STATES[task.state],
        activity=task.activity,
        progress=progress_to_proto(task.progress),
        result=result,
        failure=failure_to_proto(task.failure),
        attempt=task.attempt,
        transfer=f"transfers/{task.transfer_id}" if task.transfer_id else "",
        start_time=time_to_proto(task.start_time),
        end_time=time_to_proto(task.end_time),
        notices=[notice_to_proto(notice) for notice in task.notices],
        group=task.group,
    )


def spec_to_proto(spec: RunSpec) -> run_pb2.RunSpec:
    match spec:
        case PolicyRun(policy_id, full):
            return run_pb2.RunSpec(policy=run_pb2.PolicyRun(policy=policy_name(policy_id), full=full))
        case BackupRun(vms, repository, method, full, capture, group, metadata):
            backup = run_pb2.BackupRun(
                vms=vms,
                repository=repository,
                method=method_to_proto(method),
                full=full,
                options=capture_to_proto(capture),
                group=group,
                pools=metadata.pools if metadata else (),
                hosts=metadata is not None and metadata.hosts,
            )
            return run_pb2.RunSpec(backup=backup)
        case RestoreRun(point, placement):
            restore = run_pb2.RestoreRun(
                restore_point=f"restorePoints/{point}", placement=placement_to_proto(placement)
            )
            return run_pb2.RunSpec(restore=restore)


def spec_from_proto(spec: run_pb2.RunSpec) -> RunSpec:
    """Raises InvalidInput for a spec without a kind."""
    match spec.WhichOneof("kind"):
        case "policy":
            return PolicyRun(id_in(spec.policy.policy, "policies"), spec.policy.full)
        case "backup":
            backup = spec.backup
            method = method_from_proto(backup.method)
            vms = tuple(dict.fromkeys(backup.vms))
            capture = capture_from_proto(backup.options)
            pools = tuple(dict.fromkeys(backup.pools))
            metadata = PoolMetadata(pools, backup.hosts) if pools else None
            return BackupRun(vms, backup.repository, method, backup.full, capture, backup.group, metadata)
        case "restore":
            point = id_in(spec.restore.restore_point, "restorePoints")
            return RestoreRun(point, placement_from_proto(spec.restore.placement))
        case _:
            raise InvalidInput(
                "A run must say what to do: execute a policy, back up VMs, or restore a point.",
                reason="RUN_SPEC_MISSING",
                hint="Set one of policy, backup and restore.",
            )


def progress_to_proto(progress: Progress | None) -> transfer_pb2.Progress | None:
    if progress is None:
        return None
    return transfer_pb2.Progress(
        total_bytes=progress.total_bytes,
        done_bytes=progress.done_bytes,
        read_bytes=progress.read_bytes,
        stored_bytes=progress.stored_bytes,
        activity=progress.activity,
    )


def progress_from_proto(progress: transfer_pb2.Progress) -> Progress:
    return Progress(
        progress.total_bytes,
        progress.done_bytes,
        progress.read_bytes,
        progress.stored_bytes,
        progress.activity,
    )
