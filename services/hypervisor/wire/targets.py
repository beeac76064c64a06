"""Restore targets on the wire."""

from collections.abc import Mapping, Sequence

from xenkeep.hypervisor.v1 import restore_target_pb2

from services.hypervisor.domain.names import target_name, vm_name
from services.hypervisor.domain.target import (
    Mode,
    Placement,
    RestoredMemory,
    Target,
    TargetDisk,
    TargetState,
)
from services.hypervisor.ports.restores import WriteEndpoint
from services.hypervisor.wire.sources import notice_to_proto

_States = restore_target_pb2.RestoreTarget
_STATES = {
    TargetState.PREPARING: _States.STATE_UNSPECIFIED,
    TargetState.PREPARED: _States.STATE_PREPARED,
    TargetState.COMMITTING: _States.STATE_PREPARED,
    TargetState.COMMITTED: _States.STATE_COMMITTED,
    TargetState.ABORTING: _States.STATE_ABORTED,
    TargetState.ABORTED: _States.STATE_ABORTED,
}


_MEMORY = {
    restore_target_pb2.Placement.Memory.Value(f"MEMORY_{memory.value}"): memory for memory in RestoredMemory
}


def target_to_proto(
    target: Target, endpoints: Mapping[str, Sequence[WriteEndpoint]]
) -> restore_target_pb2.RestoreTarget:
    """``endpoints`` by disk, the one to use first."""
    pool_id = target.placement.pool_id
    return restore_target_pb2.RestoreTarget(
        name=target_name(pool_id, target.target_id),
        state=_STATES[target.state],
        disks=[
            _disk_to_proto(disk, [_endpoint_to_proto(each) for each in endpoints.get(disk.disk_id, ())])
            for disk in target.disks
        ],
        vm=vm_name(pool_id, target.vm_id) if target.state is TargetState.COMMITTED else "",
        notices=[notice_to_proto(notice) for notice in target.notices],
    )


def placement_from_proto(placement: restore_target_pb2.Placement, pool_id: str) -> Placement:
    """UNSPECIFIED mode is NEW_VM, as the contract says."""
    original = placement.mode == restore_target_pb2.Placement.MODE_ORIGINAL
    return Placement(
        pool_id=pool_id,
        sr=placement.sr,
        mode=Mode.ORIGINAL if original else Mode.NEW_VM,
        vm_display_name=placement.vm_display_name,
        keep_mac_addresses=placement.keep_mac_addresses,
        start=placement.start,
        key_material=placement.key_material,
        memory=_MEMORY.get(placement.memory, RestoredMemory.UNSPECIFIED),
        own_snapshot_id=placement.vm_snapshot,
    )


def disk_from_proto(disk: restore_target_pb2.DiskToRestore) -> TargetDisk:
    return TargetDisk(disk.disk_id, disk.size_bytes, disk.display_name)


def _disk_to_proto(
    disk: TargetDisk, endpoints: list[restore_target_pb2.WriteEndpoint]
) -> restore_target_pb2.TargetDisk:
    return restore_target_pb2.TargetDisk(
        disk_id=disk.disk_id,
        size_bytes=disk.size_bytes,
        endpoint=endpoints[0] if endpoints else None,
        other_endpoints=endpoints[1:],
    )


def _endpoint_to_proto(endpoint: WriteEndpoint) -> restore_target_pb2.WriteEndpoint:
    return restore_target_pb2.WriteEndpoint(
        url=endpoint.url.reveal(), certificate_pem=endpoint.certificate_pem, host_id=endpoint.host_id
    )
