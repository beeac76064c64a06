"""Work for the movers."""

from xenkeep.hypervisor.v1 import backup_source_pb2
from xenkeep.mover.v1 import transfer_pb2, work_pb2

from services.scheduler.domain.pool_metadata import is_pool
from services.scheduler.domain.run import BackupTerms, RestoreTerms, Run
from services.scheduler.domain.task import Moment, Task
from services.scheduler.wire.capture import capture_to_proto
from services.scheduler.wire.methods import method_to_proto
from services.scheduler.wire.names import run_name
from services.scheduler.wire.placement import placement_to_proto


def transfer_to_proto(run: Run, task: Task) -> work_pb2.TransferRequested:
    return work_pb2.TransferRequested(transfer_id=task.transfer_id, spec=_spec(run, task))


def _spec(run: Run, task: Task) -> transfer_pb2.TransferSpec:
    match run.terms:
        case BackupTerms() as terms if is_pool(task.subject):
            metadata = transfer_pb2.PoolBackupSpec(
                pool=task.subject,
                repository=terms.repository,
                hosts=terms.pool_metadata is not None and terms.pool_metadata.hosts,
                policy=terms.policy_id,
                run=run_name(run.run_id),
            )
            return transfer_pb2.TransferSpec(pool_backup=metadata)
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
                group=_group(task.moment),
            )
            return transfer_pb2.TransferSpec(backup=backup)
        case RestoreTerms() as terms:
            restore = transfer_pb2.RestoreSpec(
                repository=terms.repository,
                point_id=terms.point_id,
                placement=placement_to_proto(terms.placement),
            )
            return transfer_pb2.TransferSpec(restore=restore)


def _group(moment: Moment | None) -> backup_source_pb2.SourceGroup | None:
    """A transfer's id is that of its backup source."""
    if moment is None:
        return None
    return backup_source_pb2.SourceGroup(
        group_id=moment.group_id,
        members=[
            backup_source_pb2.GroupMember(vm=member.subject, backup_source_id=member.transfer_id)
            for member in moment.members
        ],
    )
