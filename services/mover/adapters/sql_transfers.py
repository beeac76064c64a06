"""Transfers, in SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, insert, or_, select, update
from xenkeep.common.v1 import capture_pb2
from xenkeep.mover.v1 import transfer_pb2

from services.chassis.sql import Reader
from services.mover.adapters.tables import REFUSED, TRANSFERS
from services.mover.domain.transfer import State, Transfer
from services.mover.wire.capture import failure_from_proto, failure_to_proto
from services.mover.wire.spec import spec_from_proto, spec_to_proto
from services.mover.wire.transfer import (
    progress_from_proto,
    progress_to_proto,
    result_from_proto,
    result_to_proto,
)


class SqlTransfers:
    """``ports.books.TransferBook``."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, transfer_id: str) -> Transfer | None:
        wanted = select(TRANSFERS).where(TRANSFERS.c.transfer_id == transfer_id)
        row = (await self._reader.execute(wanted)).one_or_none()
        return _transfer(row) if row else None

    async def page(self, before: str, size: int) -> Sequence[Transfer]:
        wanted = select(TRANSFERS)
        if before and (last := await self.get(before)):
            wanted = wanted.where(
                or_(
                    TRANSFERS.c.create_time < last.create_time,
                    and_(
                        TRANSFERS.c.create_time == last.create_time,
                        TRANSFERS.c.transfer_id < last.transfer_id,
                    ),
                )
            )
        order = (TRANSFERS.c.create_time.desc(), TRANSFERS.c.transfer_id.desc())
        rows = await self._reader.execute(wanted.order_by(*order).limit(size))
        return [_transfer(row) for row in rows]

    async def put(self, transfer: Transfer) -> None:
        values = _values(transfer)
        here = TRANSFERS.c.transfer_id == transfer.transfer_id
        changed = await self._reader.execute(update(TRANSFERS).where(here).values(values))
        if not changed.rowcount:
            await self._reader.execute(insert(TRANSFERS).values(transfer_id=transfer.transfer_id, **values))

    async def refuse(self, transfer_id: str) -> None:
        if not await self.is_refused(transfer_id):
            await self._reader.execute(insert(REFUSED).values(transfer_id=transfer_id))

    async def is_refused(self, transfer_id: str) -> bool:
        wanted = select(REFUSED).where(REFUSED.c.transfer_id == transfer_id)
        return (await self._reader.execute(wanted)).one_or_none() is not None


def _values(transfer: Transfer) -> dict[str, Any]:
    result, failure = transfer.result, transfer.failure
    return {
        "create_time": transfer.create_time,
        "state": transfer.state.value,
        "start_time": transfer.start_time,
        "end_time": transfer.end_time,
        "attempt": transfer.attempt,
        "cancel_requested": transfer.cancel_requested,
        "spec": spec_to_proto(transfer.spec).SerializeToString(),
        "progress": progress_to_proto(transfer.progress).SerializeToString(),
        "result": result_to_proto(result).SerializeToString() if result else None,
        "failure": failure_to_proto(failure).SerializeToString() if failure else None,
    }


def _transfer(row: Row[Any]) -> Transfer:
    result = transfer_pb2.TransferResult.FromString(row.result) if row.result is not None else None
    failure = capture_pb2.Failure.FromString(row.failure) if row.failure is not None else None
    return Transfer(
        transfer_id=row.transfer_id,
        spec=spec_from_proto(transfer_pb2.TransferSpec.FromString(row.spec)),
        create_time=row.create_time,
        state=State(row.state),
        progress=progress_from_proto(transfer_pb2.Progress.FromString(row.progress)),
        result=result_from_proto(result) if result is not None else None,
        failure=failure_from_proto(failure) if failure is not None else None,
        start_time=row.start_time,
        end_time=row.end_time,
        attempt=row.attempt,
        cancel_requested=row.cancel_requested,
    )
