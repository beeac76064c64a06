"""What a transfer shall do."""

from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import backup_source_pb2, restore_target_pb2
from xenkeep.mover.v1 import transfer_pb2

from services.chassis.errors import InvalidInput
from services.mover.domain.copying import Copy, Heal
from services.mover.domain.names import repository_id, repository_name
from services.mover.domain.placement import Memory, Mode, Placement
from services.mover.domain.transfer import (
    ZSTD_LEVELS,
    Backup,
    Compression,
    PoolBackup,
    Prune,
    Rebuild,
    Restore,
    Spec,
    Verify,
)
from services.mover.wire.capture import method_from_proto, method_to_proto
from services.mover.wire.copying import copy_from_proto, copy_to_proto
from services.mover.wire.times import duration_from_proto

_MEMORY = {restore_target_pb2.Placement.Memory.Value(f"MEMORY_{each.name}"): each for each in Memory}


def placement_to_proto(placement: Placement) -> restore_target_pb2.Placement:
    return restore_target_pb2.Placement(
        pool=placement.pool,
        sr=placement.sr,
        mode=restore_target_pb2.Placement.Mode.Value(f"MODE_{placement.mode.name}"),
        vm_display_name=placement.vm_display_name,
        keep_mac_addresses=placement.keep_mac_addresses,
        start=placement.start,
        key_material=placement.key_material,
        vm_snapshot=placement.vm_snapshot,
        memory=restore_target_pb2.Placement.Memory.Value(f"MEMORY_{placement.memory.name}"),
    )


def placement_from_proto(placement: restore_target_pb2.Placement) -> Placement:
    original = placement.mode == restore_target_pb2.Placement.MODE_ORIGINAL
    return Placement(
        pool=placement.pool,
        mode=Mode.ORIGINAL if original else Mode.NEW_VM,
        sr=placement.sr,
        vm_display_name=placement.vm_display_name,
        keep_mac_addresses=placement.keep_mac_addresses,
        start=placement.start,
        key_material=placement.key_material,
        vm_snapshot=placement.vm_snapshot,
        memory=_MEMORY.get(placement.memory, Memory.UNSPECIFIED),
    )


def spec_to_proto(spec: Spec) -> transfer_pb2.TransferSpec:
    match spec:
        case Backup():
            backup = transfer_pb2.BackupSpec(
                vm=spec.vm,
                repository=repository_name(spec.repository_id),
                method=method_to_proto(spec.method),
                full=spec.full,
                policy=spec.policy,
                run=spec.run,
                connections_per_disk=spec.connections,
                options=capture_pb2.CaptureOptions.FromString(spec.options),
                group=backup_source_pb2.SourceGroup.FromString(spec.group) if spec.group else None,
            )
            return transfer_pb2.TransferSpec(backup=backup)
        case PoolBackup():
            pool_backup = transfer_pb2.PoolBackupSpec(
                pool=spec.pool,
                repository=repository_name(spec.repository_id),
                hosts=spec.hosts,
                policy=spec.policy,
                run=spec.run,
            )
            return transfer_pb2.TransferSpec(pool_backup=pool_backup)
        case Restore():
            restore = transfer_pb2.RestoreSpec(
                repository=repository_name(spec.repository_id),
                point_id=spec.point_id,
                placement=placement_to_proto(spec.placement),
            )
            return transfer_pb2.TransferSpec(restore=restore)
        case Verify():
            sample = transfer_pb2.Sample(share=spec.share, pack_count=spec.packs)
            verify = transfer_pb2.VerifySpec(
                repository=repository_name(spec.repository_id),
                full=spec.full,
                sample=sample if spec.is_sample else None,
            )
            return transfer_pb2.TransferSpec(verify=verify)
        case Rebuild():
            rebuild = transfer_pb2.RebuildSpec(repository=repository_name(spec.repository_id))
            return transfer_pb2.TransferSpec(rebuild=rebuild)
        case Prune():
            prune = transfer_pb2.PruneSpec(
                repository=repository_name(spec.repository_id),
                dry_run=spec.dry_run,
                retire_through_epoch=spec.retire_through,
            )
            if spec.grace is not None:
                prune.grace_duration.FromTimedelta(spec.grace)
            return transfer_pb2.TransferSpec(prune=prune)
        case Copy():
            return transfer_pb2.TransferSpec(copy=copy_to_proto(spec))
        case Heal():
            heal = transfer_pb2.HealSpec(
                repository=repository_name(spec.repository_id), copy_url=spec.copy_url
            )
            return transfer_pb2.TransferSpec(heal=heal)


def spec_from_proto(spec: transfer_pb2.TransferSpec) -> Spec:
    """Raises InvalidInput for a kind this release does not know."""
    match spec.WhichOneof("kind"):
        case "backup":
            return Backup(
                vm=spec.backup.vm,
                repository_id=repository_id(spec.backup.repository),
                method=method_from_proto(spec.backup.method),
                full=spec.backup.full,
                policy=spec.backup.policy,
                run=spec.backup.run,
                connections=spec.backup.connections_per_disk,
                options=spec.backup.options.SerializeToString(deterministic=True),
                group=spec.backup.group.SerializeToString(deterministic=True),
                skips_failed_disks=spec.backup.options.reading.disk_failures
                == capture_pb2.ReadingOptions.DISK_FAILURES_SKIP,
                compression=_compression(spec.backup.options.compression),
            )
        case "pool_backup":
            pool = spec.pool_backup
            return PoolBackup(pool.pool, repository_id(pool.repository), pool.hosts, pool.policy, pool.run)
        case "restore":
            return Restore(
                repository_id(spec.restore.repository),
                spec.restore.point_id,
                placement_from_proto(spec.restore.placement),
            )
        case "verify":
            sample = spec.verify.sample
            return Verify(
                repository_id(spec.verify.repository), spec.verify.full, sample.share, sample.pack_count
            )
        case "rebuild":
            return Rebuild(repository_id(spec.rebuild.repository))
        case "prune":
            told = spec.prune.HasField("grace_duration")
            grace = duration_from_proto(spec.prune.grace_duration) if told else None
            prune = spec.prune
            return Prune(repository_id(prune.repository), prune.dry_run, grace, prune.retire_through_epoch)
        case "copy":
            return copy_from_proto(spec.copy)
        case "heal":
            return Heal(repository_id(spec.heal.repository), spec.heal.copy_url)
    raise InvalidInput(
        "The transfer asks for something this mover does not know.",
        reason="TRANSFER_KIND_UNKNOWN",
        hint="Run the same release of all services.",
    )


def _compression(compression: capture_pb2.Compression.ValueType) -> Compression | None:
    known = {capture_pb2.Compression.Value(f"COMPRESSION_{each.name}"): each for each in ZSTD_LEVELS}
    if compression == capture_pb2.COMPRESSION_UNSPECIFIED:
        return None
    return known.get(compression, Compression.UNKNOWN)
