"""A mover, its neighbours and its disks fail at the worst moments: nothing is lost, nothing is half made."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from xenkeep.hypervisor.v1 import restore_target_pb2
from xenkeep.mover.v1 import events_pb2, transfer_pb2

from tests.integration.mover.hypervisor import POOL
from tests.integration.mover.lab import MIB, PATIENCE_S, Lab, noise
from tests.integration.mover_io.framed_server import cuts_after, goes_silent, takes_all
from tests.support.nats import NatsServer

PACKS = 33 * MIB
"""More than fills a pack of 32 MiB, so that something is durable."""


def small() -> dict[str, bytearray]:
    return {"disk-a": noise(3 * MIB), "disk-b": noise(MIB, 2)}


def large() -> dict[str, bytearray]:
    return {"disk-a": noise(48 * MIB)}


async def held(lab: Lab, transfer_id: str, disk_id: str = "disk-a") -> None:
    """Returns when the way to a disk is held."""
    await lab.until(lambda: lab.source(transfer_id) in lab.hypervisor.snapshots)
    gate = lab.hypervisor.snapshots[lab.source(transfer_id)].gates[disk_id][-1]
    await asyncio.wait_for(gate.held.wait(), PATIENCE_S)


def let_go(lab: Lab, transfer_id: str) -> None:
    for gates in lab.hypervisor.snapshots[lab.source(transfer_id)].gates.values():
        for gate in gates:
            gate.open()


@pytest.mark.scenario(1)
@pytest.mark.parametrize("who", ["the same again", "another one"])
async def test_killed_while_reading_a_mover_goes_on_from_the_checkpoint(
    nats_server: NatsServer, tmp_path: Path, who: str
) -> None:
    async with Lab(nats_server, tmp_path, large()).running() as lab:
        lab.hypervisor.hold_after = PACKS + 2 * MIB
        transfer_id = await lab.back_up()
        await held(lab, transfer_id)
        await lab.until(lambda: lab.checkpoints(transfer_id)[-1:] > [1])
        await lab.mover.kill()
        let_go(lab, transfer_id)
        heir = lab.mover if who == "the same again" else lab.another("mover-2")
        await heir.start()
        result = await lab.finished(transfer_id)
        assert transfer_id == result.point.point_id
        assert 16 * MIB < result.resumed_from_bytes < 48 * MIB
        assert {lab.source(transfer_id): True} == lab.hypervisor.closed
        assert [1, 2] == sorted({event.attempt for event in lab.told(events_pb2.TransferStarted)})
        assert [] == lab.checkpoints(transfer_id)
        await lab.finished(await lab.restore(transfer_id))
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()


@pytest.mark.scenario(1)
async def test_killed_between_the_commit_and_recording_it_the_point_is_reported_once_more(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small()).running() as lab:
        await lab.hypervisor.stop()
        # The commit comes before the closing of the source, which waits for the service to answer.
        await lab.hypervisor.start()
        lab.hypervisor.hold_after = MIB // 2
        transfer_id = await lab.back_up()
        await held(lab, transfer_id)
        await lab.hypervisor.stop()
        let_go(lab, transfer_id)
        await lab.until((lab.place / "points" / transfer_id).exists)
        await lab.mover.kill()
        assert [] == lab.told(events_pb2.TransferFinished)
        await lab.hypervisor.start()
        await lab.mover.start()
        result = await lab.finished(transfer_id)
        assert transfer_id == result.point.point_id
        assert "SOURCE_NOT_REVIEWED" in {notice.code for notice in result.point.notices}
        assert {lab.source(transfer_id): True} == lab.hypervisor.closed
        assert 1 == lab.hypervisor.calls.count("OpenBackupSource")


@pytest.mark.scenario(1)
async def test_killed_while_restoring_the_disks_are_written_again(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small()).running() as lab:
        point_id = (await lab.backed_up()).point.point_id
        lab.hypervisor.write_scripts = (goes_silent,)
        transfer_id = await lab.restore(point_id)
        await lab.until(lambda: any(server.frames for server in lab.hypervisor.written.values()))
        await lab.mover.kill()
        await lab.mover.start()
        result = await lab.finished(transfer_id)
        assert f"{POOL}/vms/restored" == result.vm
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()


async def test_a_cut_while_restoring_leads_to_another_round_over_all_disks(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small()).running() as lab:
        point_id = (await lab.backed_up()).point.point_id
        lab.hypervisor.write_scripts = (cuts_after(1), takes_all)
        result = await lab.finished(await lab.restore(point_id))
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()
        assert "RESTORE_WRITTEN_AGAIN" in {notice.code for notice in result.notices}
        assert 2 == lab.hypervisor.calls.count("GetRestoreTarget")


async def test_a_hypervisor_service_that_is_away_is_waited_for(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small()).running() as lab:
        await lab.hypervisor.stop()
        transfer_id = await lab.back_up()
        await lab.event(events_pb2.TransferProgressed, lambda event: "snapshot" in event.progress.activity)
        await lab.hypervisor.start()
        assert transfer_id == (await lab.finished(transfer_id)).point.point_id


@pytest.mark.scenario(40)
async def test_a_disk_whose_way_dies_is_read_over_another(nats_server: NatsServer, tmp_path: Path) -> None:
    async with Lab(nats_server, tmp_path, small()).running() as lab:
        lab.hypervisor.hold_after = MIB
        transfer_id = await lab.back_up()
        await held(lab, transfer_id)
        await lab.hypervisor.moved(lab.source(transfer_id), "disk-a")
        let_go(lab, transfer_id)
        result = await lab.finished(transfer_id)
        assert "NBD_ENDPOINTS_ASKED" in {notice.code for notice in result.notices}
        await lab.finished(await lab.restore(transfer_id))
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()


async def test_cancelled_while_reading_nothing_is_left(nats_server: NatsServer, tmp_path: Path) -> None:
    async with Lab(nats_server, tmp_path, large()).running() as lab:
        lab.hypervisor.hold_after = PACKS
        transfer_id = await lab.back_up()
        await held(lab, transfer_id)
        await lab.cancel(transfer_id)
        assert isinstance(await lab.ended(transfer_id), events_pb2.TransferCancelled)
        assert {lab.source(transfer_id): False} == lab.hypervisor.closed
        assert not (lab.place / "points" / transfer_id).exists()
        assert [] == lab.checkpoints(transfer_id)
        request = transfer_pb2.GetTransferRequest(name=f"transfers/{transfer_id}")
        transfer = await lab.transfers.GetTransfer(request, timeout=PATIENCE_S)
        assert transfer_pb2.Transfer.STATE_CANCELLED == transfer.state


async def test_cancelled_while_restoring_what_was_made_is_removed(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small()).running() as lab:
        point_id = (await lab.backed_up()).point.point_id
        lab.hypervisor.write_scripts = (goes_silent,)
        transfer_id = await lab.restore(point_id)
        await lab.until(lambda: any(server.frames for server in lab.hypervisor.written.values()))
        await lab.cancel(transfer_id)
        assert isinstance(await lab.ended(transfer_id), events_pb2.TransferCancelled)
        (target,) = lab.hypervisor.targets.values()
        assert restore_target_pb2.RestoreTarget.STATE_ABORTED == target.state


async def test_cancelled_while_its_mover_is_dead_the_next_one_cleans_up(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small()).running() as lab:
        lab.hypervisor.hold_after = MIB
        transfer_id = await lab.back_up()
        await held(lab, transfer_id)
        await lab.mover.kill()
        await lab.cancel(transfer_id)
        await lab.mover.start()
        end = await lab.ended(transfer_id)
        assert isinstance(end, events_pb2.TransferCancelled)
        assert {lab.source(transfer_id): False} == lab.hypervisor.closed


async def test_refused_before_it_is_met_a_transfer_never_starts(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small()).running({"XENKEEP_TRANSFERS_AT_ONCE": "1"}) as lab:
        lab.hypervisor.hold_after = MIB
        first = await lab.back_up()
        await held(lab, first)
        second = await lab.back_up()
        await lab.cancel(second)
        let_go(lab, first)
        assert isinstance(await lab.ended(second), events_pb2.TransferCancelled)
        await lab.finished(first)
        assert 1 == lab.hypervisor.calls.count("OpenBackupSource")


async def test_stopped_in_the_middle_a_mover_leaves_in_order_and_another_one_goes_on_at_once(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    longer_than_this_test = {"XENKEEP_TRANSFER_LEASE": "300s"}
    async with Lab(nats_server, tmp_path, large()).running(longer_than_this_test) as lab:
        lab.hypervisor.hold_after = PACKS + 2 * MIB
        transfer_id = await lab.back_up()
        await held(lab, transfer_id)
        await lab.until(lambda: lab.checkpoints(transfer_id)[-1:] > [1])
        heir = lab.another("mover-2")
        heir.env |= longer_than_this_test
        await heir.start()
        assert 0 == await asyncio.wait_for(lab.mover.end(signal.SIGTERM), PATIENCE_S)
        assert {} == lab.hypervisor.closed
        let_go(lab, transfer_id)
        result = await lab.finished(transfer_id)
        assert result.resumed_from_bytes > 16 * MIB


@pytest.mark.scenario(22, "restic #2715")
async def test_a_mover_that_was_asleep_leaves_the_transfer_to_the_one_that_took_over(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, large()).running() as lab:
        lab.hypervisor.hold_after = PACKS
        transfer_id = await lab.back_up()
        await held(lab, transfer_id)
        with closing(sqlite3.connect(lab.directory / "site.sqlite", PATIENCE_S)) as store:
            store.execute("BEGIN IMMEDIATE")  # asleep amid a change of its own it would hold up everybody
            lab.mover.pause()
        heir = lab.another("mover-2")
        try:
            await heir.start()
            await lab.event(events_pb2.TransferStarted, lambda event: event.attempt == 2)
        finally:
            lab.mover.resume()
        let_go(lab, transfer_id)
        result = await lab.finished(transfer_id)
        assert transfer_id == result.point.point_id
        assert {lab.source(transfer_id): True} == lab.hypervisor.closed
        assert [] == lab.told(events_pb2.TransferFailed)
        await lab.finished(await lab.restore(transfer_id))
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()


@pytest.mark.scenario(5, 6)
async def test_a_repository_that_is_full_fails_the_backup_and_takes_the_next_one_when_there_is_room(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, large()).running() as lab:
        await lab.mover.end()
        await lab.mover.start(("prlimit", f"--fsize={8 * MIB}"))
        failed = await lab.ended(await lab.back_up())
        assert isinstance(failed, events_pb2.TransferFailed)
        assert ("ResourceExhausted", "STORE_FULL", True) == (
            failed.failure.kind,
            failed.failure.reason,
            failed.retryable,
        )
        assert [False] == list(lab.hypervisor.closed.values())
        await lab.mover.end()
        await lab.mover.start()
        point = (await lab.backed_up()).point
        await lab.finished(await lab.restore(point.point_id))
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()
        assert [] == [path for path in lab.place.rglob(".tmp-*")]
