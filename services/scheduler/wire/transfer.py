"""Work for the movers."""

from xenkeep.mover.v1 import transfer_pb2, work_pb2

from services.scheduler.domain.run import BackupTerms, RestoreTerms, Run
from services.scheduler.domain.task import Task
from services.scheduler.wire.capture import capture_to_proto
from services.scheduler.wire.methods import method_to_proto
from services.scheduler.wire.names import run_name
from services.scheduler.wire.placement import placement_to_proto


def transfer_to_proto(run: Run, task: Task) -> work_pb2.TransferRequested:
    return work_pb2.TransferRequested(transfer_id=task.transfer_id, spec=_spec(run, task))


def _spec(run: Run, task: Task) -> transfer_pb2.TransferSpec:
    match run.terms:
        case BackupTerms() as terms:
            backup = transfer_pb2.BackupSpec(
                vm=task.subject,
                repository=terms.repository,
                method=method_to_proto(terms.method),
                full=terms.full,
                policy=terms.policy_id,
                run=run_name(run.run_id),
                connections_per_disk=terms.limits.connections_per_disk,
                options=capture_to_proto(terms.capture),
            )
            return transfer_pb2.TransferSpec(backup=backup)
        case RestoreTerms() as terms:
            restore = transfer_pb2.RestoreSpec(
                repository=terms.repository,
                point_id=terms.point_id,
                placement=placement_to_proto(terms.placement),
            )
            return transfer_pb2.TransferSpec(restore=restore)
