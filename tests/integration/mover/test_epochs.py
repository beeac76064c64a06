"""A data key that may be known is replaced, through the mover's own doors."""

from pathlib import Path

import grpc
import pytest
from xenkeep.mover.v1 import repository_pb2

from services.chassis.errors import FailedPrecondition
from services.chassis.rpc.faults import error_from_rpc
from tests.integration.mover.lab import MIB, PATIENCE_S, Lab, noise
from tests.support.nats import NatsServer


async def _epochs(lab: Lab) -> list[tuple[int, bool, bool]]:
    """Number, whether anything is sealed with it, whether new packs are."""
    request = repository_pb2.ListRepositoryEpochsRequest(parent="main")
    answer = await lab.repositories.ListRepositoryEpochs(request, timeout=PATIENCE_S)
    return [(each.epoch, each.pack_bytes > 0, each.current) for each in answer.epochs]


async def test_a_data_key_that_leaked_is_rotated_and_retired(nats_server: NatsServer, tmp_path: Path) -> None:
    async with Lab(nats_server, tmp_path, {"xvda": noise(3 * MIB)}).running() as lab:
        first = (await lab.backed_up()).point.point_id
        hashes = lab.hypervisor.hashes()
        retire = repository_pb2.RetireRepositoryEpochsRequest(parent="main")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await lab.repositories.RetireRepositoryEpochs(retire, timeout=PATIENCE_S)
        told = error_from_rpc(refused.value)
        assert (FailedPrecondition, "EPOCH_IN_USE") == (type(told), told.reason)

        rotate = repository_pb2.RotateRepositoryKeyRequest(parent="main")
        assert 2 == (await lab.repositories.RotateRepositoryKey(rotate, timeout=PATIENCE_S)).epoch
        assert [(1, True, False), (2, False, True)] == await _epochs(lab)
        transfer = await lab.repositories.RetireRepositoryEpochs(retire, timeout=PATIENCE_S)
        pruned = (await lab.finished(transfer.name.removeprefix("transfers/"))).prune
        assert ([1], 0) == (list(pruned.retired_epochs), pruned.old_epoch_pack_count)
        assert pruned.stored_bytes > 3 * MIB
        assert [(2, True, True)] == await _epochs(lab)

        await lab.finished(await lab.restore(first))
        assert hashes == lab.hypervisor.restored()
        second = (await lab.backed_up()).point
        assert (first, 0) == (second.base_point_id, second.read_bytes)
