"""Transfers, how far they are, and what came out of them."""

from datetime import UTC

from xenkeep.mover.v1 import transfer_pb2

from services.mover.domain.names import transfer_name
from services.mover.domain.transfer import Coverage, Progress, Pruned, Result, State, Transfer
from services.mover.wire.capture import failure_to_proto, remark_from_proto, remark_to_proto
from services.mover.wire.copying import (
    copied_from_proto,
    copied_to_proto,
    healed_from_proto,
    healed_to_proto,
)
from services.mover.wire.point import damage_from_proto, damage_to_proto, point_from_proto, point_to_proto
from services.mover.wire.spec import spec_to_proto
from services.mover.wire.times import time_to_proto


def transfer_to_proto(transfer: Transfer) -> transfer_pb2.Transfer:
    return transfer_pb2.Transfer(
        name=transfer_name(transfer.transfer_id),
        spec=spec_to_proto(transfer.spec),
        state=state_to_proto(transfer.state),
        progress=progress_to_proto(transfer.progress),
        result=result_to_proto(transfer.result) if transfer.result else None,
        failure=failure_to_proto(transfer.failure) if transfer.failure else None,
        start_time=time_to_proto(transfer.start_time),
        end_time=time_to_proto(transfer.end_time),
        attempt=transfer.attempt,
    )


def state_to_proto(state: State) -> transfer_pb2.Transfer.State.ValueType:
    return transfer_pb2.Transfer.State.Value(f"STATE_{state.name}")


def progress_to_proto(progress: Progress) -> transfer_pb2.Progress:
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


def result_to_proto(result: Result) -> transfer_pb2.TransferResult:
    return transfer_pb2.TransferResult(
        point=point_to_proto(result.point) if result.point else None,
        vm=result.vm,
        damages=map(damage_to_proto, result.damages),
        checked_objects=result.checked_objects,
        checked_bytes=result.checked_bytes,
        notices=map(remark_to_proto, result.notices),
        resumed_from_bytes=result.resumed_from_bytes,
        seconds=result.seconds,
        prune=pruned_to_proto(result.pruned) if result.pruned else None,
        copy=copied_to_proto(result.copied) if result.copied else None,
        heal=healed_to_proto(result.healed) if result.healed else None,
        sample=coverage_to_proto(result.coverage) if result.coverage else None,
    )


def result_from_proto(result: transfer_pb2.TransferResult) -> Result:
    return Result(
        point=point_from_proto(result.point) if result.HasField("point") else None,
        vm=result.vm,
        damages=tuple(map(damage_from_proto, result.damages)),
        checked_objects=result.checked_objects,
        checked_bytes=result.checked_bytes,
        notices=tuple(map(remark_from_proto, result.notices)),
        resumed_from_bytes=result.resumed_from_bytes,
        seconds=result.seconds,
        pruned=pruned_from_proto(result.prune) if result.HasField("prune") else None,
        copied=copied_from_proto(result.copy) if result.HasField("copy") else None,
        healed=healed_from_proto(result.heal) if result.HasField("heal") else None,
        coverage=coverage_from_proto(result.sample) if result.HasField("sample") else None,
    )


def coverage_to_proto(coverage: Coverage) -> transfer_pb2.SampleResult:
    return transfer_pb2.SampleResult(
        checked_pack_count=coverage.checked_packs,
        pack_count=coverage.packs,
        checked_bytes=coverage.checked_bytes,
        pack_bytes=coverage.pack_bytes,
        next_start=coverage.next_start,
    )


def coverage_from_proto(sample: transfer_pb2.SampleResult) -> Coverage:
    return Coverage(
        checked_packs=sample.checked_pack_count,
        packs=sample.pack_count,
        checked_bytes=sample.checked_bytes,
        pack_bytes=sample.pack_bytes,
        next_start=sample.next_start,
    )


def pruned_to_proto(pruned: Pruned) -> transfer_pb2.PruneResult:
    return transfer_pb2.PruneResult(
        deleted_pack_count=pruned.deleted_packs,
        deleted_bytes=pruned.deleted_bytes,
        repacked_pack_count=pruned.repacked_packs,
        stored_bytes=pruned.stored_bytes,
        waiting_pack_count=pruned.waiting_packs,
        waiting_point_ids=pruned.waiting_points,
        revoked_point_ids=pruned.revoked_points,
        purged_point_ids=pruned.purged_points,
        locked_pack_count=pruned.locked_packs,
        locked_bytes=pruned.locked_bytes,
        locked_until_time=time_to_proto(pruned.locked_until),
        retired_epochs=pruned.retired_epochs,
        old_epoch_pack_count=pruned.old_epoch_packs,
    )


def pruned_from_proto(pruned: transfer_pb2.PruneResult) -> Pruned:
    return Pruned(
        deleted_packs=pruned.deleted_pack_count,
        deleted_bytes=pruned.deleted_bytes,
        repacked_packs=pruned.repacked_pack_count,
        stored_bytes=pruned.stored_bytes,
        waiting_packs=pruned.waiting_pack_count,
        waiting_points=tuple(pruned.waiting_point_ids),
        revoked_points=tuple(pruned.revoked_point_ids),
        purged_points=tuple(pruned.purged_point_ids),
        locked_packs=pruned.locked_pack_count,
        locked_bytes=pruned.locked_bytes,
        locked_until=(
            pruned.locked_until_time.ToDatetime(UTC) if pruned.HasField("locked_until_time") else None
        ),
        retired_epochs=tuple(pruned.retired_epochs),
        old_epoch_packs=pruned.old_epoch_pack_count,
    )
