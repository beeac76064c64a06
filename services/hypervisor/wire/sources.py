"""Backup sources on the wire."""

from xenkeep.common.v1 import capture_pb2, point_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2

from services.hypervisor.domain.group import GroupMoment, Member
from services.hypervisor.domain.names import parse, require_uuid, source_name, vm_name
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.source import Source, SourceDisk
from services.hypervisor.domain.surroundings import OwnSnapshot
from services.hypervisor.domain.tracking import FullReason
from services.hypervisor.domain.vm import Method
from services.hypervisor.ports.readers import NbdEndpoint
from services.hypervisor.wire.vms import method_to_proto


def source_to_proto(
    source: Source, configuration: bytes, endpoints: dict[str, tuple[NbdEndpoint, ...]]
) -> backup_source_pb2.BackupSource:
    message = backup_source_pb2.BackupSource(
        name=source_name(source.pool_id, source.source_id),
        vm=vm_name(source.pool_id, source.vm_id),
        vm_display_name=source.vm_display_name,
        pool_display_name=source.pool_display_name,
        method=method_to_proto(source.method),
        consistency=capture_pb2.Consistency.Value(f"CONSISTENCY_{source.consistency.value}"),
        vm_configuration=configuration,
        disks=[_disk_to_proto(disk, endpoints[disk.disk_id]) for disk in source.disks],
        notices=[notice_to_proto(notice) for notice in source.notices],
        missing_disks=[
            point_pb2.MissingDisk(
                disk_id=disk.disk_id,
                device=disk.device,
                display_name=disk.display_name,
                message=disk.message,
            )
            for disk in source.missing_disks
        ],
        vm_snapshots=map(_snapshot_to_proto, source.vm_snapshots),
    )
    if source.group is not None:
        message.group.CopyFrom(_group_to_proto(source.group))
    if source.snapshot_time is not None:
        message.snapshot_time.FromDatetime(source.snapshot_time)
    return message


def _snapshot_to_proto(snapshot: OwnSnapshot) -> point_pb2.VmSnapshot:
    message = point_pb2.VmSnapshot(
        snapshot_id=snapshot.snapshot_id,
        display_name=snapshot.display_name,
        description=snapshot.description,
        parent_id=snapshot.parent_id,
        with_memory=snapshot.with_memory,
        saved=snapshot.saved,
    )
    message.snapshot_time.FromDatetime(snapshot.time)
    return message


def group_from_proto(
    group: backup_source_pb2.SourceGroup,
) -> tuple[str, tuple[Member, ...]] | None:
    """None when unset. Raises InvalidInput for what names no VM, or is no UUID."""
    if not group.group_id and not group.members:
        return None
    members = tuple(
        Member(*parse(each.vm, "vms"), require_uuid(each.backup_source_id, "The id of the backup source"))
        for each in group.members
    )
    return require_uuid(group.group_id, "The id of the group"), members


def notice_to_proto(notice: Notice) -> capture_pb2.Notice:
    return capture_pb2.Notice(code=notice.code, message=notice.message)


def method_from_proto(method: capture_pb2.Method.ValueType) -> Method:
    """UNSPECIFIED is NORMAL, as the contract says."""
    if method == capture_pb2.METHOD_UNSPECIFIED:
        return Method.NORMAL
    return Method(capture_pb2.Method.Name(method).removeprefix("METHOD_"))


def reason_from_proto(reason: capture_pb2.FullReason.ValueType) -> FullReason:
    return FullReason(capture_pb2.FullReason.Name(reason).removeprefix("FULL_REASON_"))


def _disk_to_proto(disk: SourceDisk, endpoints: tuple[NbdEndpoint, ...]) -> backup_source_pb2.SourceDisk:
    return backup_source_pb2.SourceDisk(
        disk_id=disk.disk_id,
        device=disk.device,
        display_name=disk.display_name,
        size_bytes=disk.size_bytes,
        level=capture_pb2.LEVEL_INCREMENTAL if disk.incremental else capture_pb2.LEVEL_FULL,
        full_reason=capture_pb2.FullReason.Value(f"FULL_REASON_{disk.full_reason.value}"),
        full_reason_message=disk.full_reason_message,
        nbd_endpoints=[_endpoint_to_proto(endpoint) for endpoint in endpoints],
        tracking_ref=disk.tracking_ref,
        extents_known=disk.extents_known,
        changed_bytes=disk.changed_bytes,
        base_tracking_ref=disk.base_tracking_ref,
        kind=capture_pb2.DiskKind.Value(f"DISK_KIND_{disk.kind.value}"),
    )


def _endpoint_to_proto(endpoint: NbdEndpoint) -> backup_source_pb2.NbdEndpoint:
    return backup_source_pb2.NbdEndpoint(
        host_id=endpoint.host_id,
        address=endpoint.address,
        port=endpoint.port,
        export_name=endpoint.export_name.reveal(),
        certificate_pem=endpoint.certificate_pem,
        server_name=endpoint.server_name,
        max_connections=endpoint.max_connections,
    )


def _group_to_proto(group: GroupMoment) -> capture_pb2.GroupMoment:
    return capture_pb2.GroupMoment(
        group_id=group.group_id, vm_count=group.vm_count, spread_milliseconds=group.spread_ms
    )
