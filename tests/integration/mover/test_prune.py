"""Restore points are deleted, taken back and pruned through the real doors of a mover."""

from pathlib import Path

import grpc
import pytest
from xenkeep.mover.v1 import events_pb2, repository_pb2, transfer_pb2

from services.chassis.rpc.faults import error_from_rpc
from tests.integration.mover.hypervisor import BLOCK
from tests.integration.mover.lab import MIB, PATIENCE_S, Lab, noise
from tests.support.nats import NatsServer


async def delete(lab: Lab, point_id: str, keep: int | None = None, *, purge: bool = False) -> None:
    request = repository_pb2.DeletePointRequest(
        parent="repositories/main", point_id=point_id, keep_count=keep, purge=purge
    )
    await lab.repositories.DeletePoint(request, timeout=PATIENCE_S)


async def prune(lab: Lab, *, dry_run: bool = False, grace_s: int | None = None) -> transfer_pb2.PruneResult:
    request = repository_pb2.PruneRepositoryRequest(name="repositories/main", dry_run=dry_run)
    if grace_s is not None:
        request.grace_duration.seconds = grace_s
    transfer = await lab.repositories.PruneRepository(request, timeout=PATIENCE_S)
    result = await lab.finished(transfer.name.removeprefix("transfers/"))
    return result.prune


async def trash(lab: Lab) -> list[str]:
    request = repository_pb2.ListTrashRequest(parent="main")
    found = await lab.repositories.ListTrash(request, timeout=PATIENCE_S)
    return [each.point_id for each in found.points]


async def test_a_point_is_deleted_taken_back_and_at_last_pruned(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(3 * MIB)}).running() as lab:
        first = (await lab.backed_up()).point
        lab.hypervisor.disks["disk-a"][: 2 * MIB] = noise(2 * MIB, 2)
        second = (await lab.backed_up()).point

        await delete(lab, first.point_id)
        told = await lab.event(events_pb2.PointExpired)
        assert (told.point_id, told.repository_display_name, told.recoverable) == (
            first.point_id,
            "main",
            True,
        )
        assert await trash(lab) == [first.point_id]
        assert (await prune(lab)).deleted_pack_count == 0, "its grace period is not over"
        request = repository_pb2.UndeletePointRequest(parent="main", point_id=first.point_id)
        assert first == await lab.repositories.UndeletePoint(request, timeout=PATIENCE_S)
        assert (await lab.event(events_pb2.PointUndeleted)).point == first

        await delete(lab, first.point_id)
        foretold = await prune(lab, dry_run=True, grace_s=0)
        assert foretold.deleted_bytes > MIB
        done = await prune(lab, grace_s=0)
        assert (done.deleted_pack_count, list(done.purged_point_ids)) == (
            foretold.deleted_pack_count,
            [first.point_id],
        )
        assert await trash(lab) == []
        await lab.finished(await lab.restore(second.point_id))
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()

        lab.hypervisor.disks["disk-a"][:BLOCK] = noise(BLOCK, 3)
        third = (await lab.backed_up()).point
        assert third.base_point_id == second.point_id


async def test_the_last_point_of_a_vm_and_one_that_is_not_there_are_not_deleted(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(MIB)}).running() as lab:
        only = (await lab.backed_up()).point.point_id
        for point_id, keep, reason in (
            (only, None, "LAST_POINTS"),
            (only, -1, "KEEP_INVALID"),
            ("../../keys/x", None, "BAD_ID"),
            ("11111111-0000-4000-8000-000000000000", None, "POINT_MISSING"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await delete(lab, point_id, keep)
            assert error_from_rpc(refused.value).reason == reason
        assert lab.told(events_pb2.PointExpired) == []
        await delete(lab, only, 0, purge=True)
        assert not (await lab.event(events_pb2.PointExpired)).recoverable
        assert await trash(lab) == []
