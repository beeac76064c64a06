"""The receiver of a copy dies at each of its steps, one after the other."""

import asyncio
from pathlib import Path

import pytest
from xenkeep.mover.v1.replica_pb2_grpc import add_ReplicaServiceServicer_to_server

from services.chassis.rpc.server import RpcServer
from services.mover.api.replicas import ReplicaApi
from tests.faults.mover.mortal_replica import Mortal, mortal_replicas
from tests.integration.mover.replica_site import MIB, ReplicaSite, SendingSite
from tests.support.injections import Injections
from tests.support.pki import tls_for
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import restored

EVERY = 1 if THOROUGH else 29


async def copied(sending: SendingSite, keeping: ReplicaSite, at: int) -> tuple[int, bool]:
    """Steps it took, and whether the first receiver died; the one that follows knows only its files."""
    loop, died = asyncio.get_running_loop(), asyncio.Event()
    mortal = Mortal(at, lambda: loop.call_soon_threadsafe(died.set))
    api = ReplicaApi(mortal_replicas(keeping.copies, keeping.arriving, mortal))
    tls = tls_for(sending.folder.parent / "pki", "mover")
    async with RpcServer(
        "127.0.0.1:0", tls, [(add_ReplicaServiceServicer_to_server, api, {"mover"})]
    ) as server:
        copying = asyncio.ensure_future(sending.copy(f"127.0.0.1:{server.port}"))
        dying = asyncio.ensure_future(died.wait())
        await asyncio.wait({copying, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if mortal.dead:
            api._replicas = mortal_replicas(keeping.copies, keeping.arriving, Mortal(0))
        report = await copying
    assert report.copied_points == ["a"]
    return mortal.count, mortal.dead


@pytest.mark.timeout(3600)  # two hundred copies when every step is tried
@pytest.mark.scenario(46)
async def test_a_receiver_that_dies_at_any_step_is_gone_on_with_by_the_next_one(
    tmp_path: Path, injections: Injections
) -> None:
    sending = SendingSite(tmp_path / "sending", pack_bytes=MIB)
    sending.back_up("a", 4 * MIB, 1)
    with sending.repository:
        at, dies = 1, True
        while dies:
            keeping = ReplicaSite(tmp_path / f"keeping-{at}")
            with injections.one():
                count, dies = await copied(sending, keeping, at)
                with keeping.opened(sending.repository, tmp_path / f"cache-{at}") as copy:
                    assert restored(copy, "a") == sending.contents["a"]
                    assert copy.verify(full=True).findings == ()
                assert not list(keeping.arriving.glob("*/*"))
            at += EVERY
        assert count > 50
