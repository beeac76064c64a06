"""A backup of a pool's metadata: each part is a stream of one restore point."""

import asyncio
from collections.abc import AsyncIterator, Callable

from services.chassis.clock import Clock
from services.chassis.errors import DeadlineExceeded, Unavailable
from services.mover.app.board import Board
from services.mover.app.cancellation import Cancellation, in_thread, unless_wanted
from services.mover.app.committed import committed
from services.mover.app.point_records import read_point, rfc3339
from services.mover.app.shelf import Shelf
from services.mover.domain.capture import Consistency, Method, Remark
from services.mover.domain.facts import PointCommitted
from services.mover.domain.outcome import Outcome
from services.mover.domain.point import AssetKind
from services.mover.domain.pool_parts import PoolParts
from services.mover.domain.repository import Registration
from services.mover.domain.transfer import PoolBackup, Result, Transfer
from services.mover.ports.pool_metadata import PoolMetadata
from services.mover.repository import (
    BackupOptions,
    BackupSession,
    Notice,
    PointDescription,
    Repository,
    RestorePoint,
)

KIND = "pool-metadata"
TRIES = 3
PAUSE_S = 5.0


class PoolBackupRunner:
    """The transfer's id is that of the point, so that whoever repeats it finds what is there. Nothing is left
    in the pool; killed before the commit, the next attempt reads everything again and stores what is new.
    """

    def __init__(
        self, shelf: Shelf, pools: PoolMetadata, options: Callable[[int], BackupOptions], clock: Clock
    ) -> None:
        self._shelf = shelf
        self._pools = pools
        self._options = options
        self._clock = clock

    async def __call__(
        self, transfer: Transfer, spec: PoolBackup, board: Board, cancel: Cancellation
    ) -> Outcome:
        """Raises what the hypervisor service and the repository raise."""
        board.doing("opening the repository")
        registration = await self._shelf.registration(spec.repository_id)
        repository = await self._shelf.repository(registration.repository_id)
        point = await in_thread(cancel, committed, repository, transfer.transfer_id)
        if point is None:
            point = await self._save(repository, transfer, spec, board, cancel)
        return _outcome(registration, point)

    async def _save(
        self, repository: Repository, transfer: Transfer, spec: PoolBackup, board: Board, cancel: Cancellation
    ) -> RestorePoint:
        cancel.check()
        found = await unless_wanted(cancel, self._pools.parts(spec.pool, hosts=spec.hosts))
        taken = rfc3339(self._clock.now())
        id_ = transfer.transfer_id
        session = await in_thread(
            cancel, repository.begin_backup, id_, None, transfer_id=id_, options=self._options(1)
        )
        try:
            cancel.when_wanted(session.cancel)
            remarks: list[Remark] = []
            for part in found.parts:
                remarks += await self._part(session, found, part, board, cancel)
            board.doing("committing the restore point")
            described = _described(found, spec, taken, rfc3339(self._clock.now()), remarks)
            return await in_thread(cancel, session.commit, described)
        except BaseException:
            await asyncio.to_thread(session.abort, forget=True)
            raise

    async def _part(
        self, session: BackupSession, found: PoolParts, part: str, board: Board, cancel: Cancellation
    ) -> list[Remark]:
        """Read again from its beginning when it broke off for a reason that may pass."""
        remarks: list[Remark] = []
        for tries_left in reversed(range(TRIES)):
            board.doing(f"reading {part}")
            data = _counted(self._pools.read(found.pool, part), part, board)
            try:
                await unless_wanted(cancel, session.write_stream(part, KIND, data))
                break
            except (Unavailable, DeadlineExceeded) as error:
                if cancel.wanted or not tries_left:
                    raise
                remarks.append(Remark("PART_READ_AGAIN", f"{part} was read again: {error.message}"))
                await unless_wanted(cancel, self._clock.sleep(PAUSE_S))
        return remarks


async def _counted(data: AsyncIterator[bytes], part: str, board: Board) -> AsyncIterator[bytes]:
    read = 0
    async for piece in data:
        read += len(piece)
        board.moved(part, total=read, read=read)
        yield piece


def _described(
    found: PoolParts, spec: PoolBackup, taken: str, now: str, remarks: list[Remark]
) -> PointDescription:
    return PointDescription(
        asset={
            "id": found.pool_id,
            "kind": AssetKind.POOL.value,
            "name": found.display_name,
            "pool": found.pool_id,
            "pool_name": found.display_name,
        },
        method=Method.NORMAL.value,
        consistency=Consistency.UNKNOWN.value,
        snapshot_time=taken,
        commit_time=now,
        document={"policy": spec.policy, "run": spec.run},
        notices=tuple(Notice(remark.code, remark.message) for remark in remarks),
    )


def _outcome(registration: Registration, record: RestorePoint) -> Outcome:
    point = read_point(registration.repository_id, record)
    result = Result(point=point, notices=point.notices)
    return Outcome(result, (PointCommitted(point, registration.display_name),))
