"""Transfers, how far they are, and what came out of them."""

from xenkeep.mover.v1 import transfer_pb2

from services.mover.domain.names import transfer_name
from services.mover.domain.transfer import Progress, Result, State, Transfer
from services.mover.wire.capture import failure_to_proto, remark_from_proto, remark_to_proto
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
    )
