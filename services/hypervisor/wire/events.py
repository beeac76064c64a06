"""Facts about pools on the wire."""

from google.protobuf.message import Message
from xenkeep.hypervisor.v1 import events_pb2

from services.hypervisor.domain import events
from services.hypervisor.domain.names import pool_name, vm_name
from services.hypervisor.domain.pool import Pool
from services.hypervisor.wire.vms import power_state_to_proto, vm_to_proto


def event_to_proto(pool: Pool, event: events.PoolEvent) -> Message:
    """The message that announces ``event`` of ``pool``."""
    about_pool = {"pool": pool_name(pool.pool_id), "pool_display_name": pool.display_name}
    match event:
        case events.PoolAdded():
            return events_pb2.PoolAdded(**about_pool)
        case events.PoolRemoved():
            return events_pb2.PoolRemoved(**about_pool)
        case events.PoolReachable():
            return events_pb2.PoolReachable(**about_pool)
        case events.PoolUnreachable(message):
            return events_pb2.PoolUnreachable(**about_pool, message=message)
        case events.CoordinatorChanged(old, new, name):
            return events_pb2.CoordinatorChanged(
                **about_pool, old_host_id=old, new_host_id=new, new_host_display_name=name
            )
        case events.CoordinatorContested(message):
            return events_pb2.CoordinatorContested(**about_pool, message=message)
        case events.CoordinatorAgreed():
            return events_pb2.CoordinatorAgreed(**about_pool)
        case events.HostFailed(host):
            return events_pb2.HostFailed(
                **about_pool, host_id=host.host_id, host_display_name=host.display_name
            )
        case events.HostRecovered(host):
            return events_pb2.HostRecovered(
                **about_pool, host_id=host.host_id, host_display_name=host.display_name
            )
        case events.VmAdded(vm):
            return events_pb2.VmAdded(vm=vm_to_proto(vm, pool.display_name))
        case events.VmChanged(vm):
            return events_pb2.VmChanged(vm=vm_to_proto(vm, pool.display_name))
        case _:
            return _about_vm(event)


def subject_of(pool: Pool, event: events.PoolEvent) -> str:
    """The resource an event is about."""
    vm = getattr(event, "vm", None)
    return vm_name(vm.pool_id, vm.vm_id) if vm is not None else pool_name(pool.pool_id)


def _about_vm(
    event: events.VmRemoved
    | events.VmMoved
    | events.VmPowerChanged
    | events.ChangeTrackingLost
    | events.SnapshotHindered
    | events.SnapshotPossible,
) -> Message:
    about = {"vm": vm_name(event.vm.pool_id, event.vm.vm_id), "vm_display_name": event.vm.display_name}
    match event:
        case events.VmRemoved():
            return events_pb2.VmRemoved(**about)
        case events.VmMoved(vm, old):
            return events_pb2.VmMoved(
                **about,
                old_host_id=old,
                new_host_id=vm.host_id,
                new_host_display_name=vm.host_display_name,
            )
        case events.VmPowerChanged(vm, before):
            return events_pb2.VmPowerChanged(
                **about,
                old_power_state=power_state_to_proto(before),
                new_power_state=power_state_to_proto(vm.power_state),
            )
        case events.SnapshotHindered(_, reason, message):
            return events_pb2.SnapshotHindered(**about, reason=reason, message=message)
        case events.SnapshotPossible():
            return events_pb2.SnapshotPossible(**about)
        case events.ChangeTrackingLost(_, disk_id, message):
            return events_pb2.ChangeTrackingLost(**about, disk_id=disk_id, message=message)
