"""Backups, restores and verifications by a real process through its real doors."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.common.v1 import capture_pb2
from xenkeep.mover.v1 import events_pb2, repository_pb2, transfer_pb2

from tests.integration.mover.hypervisor import BLOCK
from tests.integration.mover.lab import MIB, PATIENCE_S, Lab, noise
from tests.support.nats import NatsServer


def small_disks() -> dict[str, bytearray]:
    return {"disk-a": noise(3 * MIB + 512), "disk-b": bytearray(2 * MIB) + noise(MIB, 2)}


async def test_full_incremental_and_restore_bring_the_same_bytes_back(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small_disks()).running() as lab:
        first = (await lab.backed_up()).point
        assert (capture_pb2.LEVEL_FULL, "", "nightly", "runs/1") == (
            first.level,
            first.base_point_id,
            first.policy,
            first.run,
        )
        assert {capture_pb2.FULL_REASON_FIRST_BACKUP} == {disk.full_reason for disk in first.disks}
        at_first = lab.hypervisor.hashes()
        lab.hypervisor.disks["disk-a"][BLOCK + 7 : BLOCK + 11] = b"next"
        second = (await lab.backed_up()).point
        assert (capture_pb2.LEVEL_INCREMENTAL, first.point_id, BLOCK) == (
            second.level,
            second.base_point_id,
            second.read_bytes,
        )
        assert {lab.source(point.point_id): True for point in (first, second)} == lab.hypervisor.closed
        announced = await lab.event(
            events_pb2.PointCommitted, lambda event: event.point.point_id == second.point_id
        )
        assert ("main", second) == (announced.repository_display_name, announced.point)

        result = await lab.finished(await lab.restore(second.point_id))
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()
        assert ["VM_NOT_STARTED"] == [notice.code for notice in result.notices]
        await lab.finished(await lab.restore(first.point_id))
        assert at_first == lab.hypervisor.restored()
        assert {b"<vm name='web'/>"} == set(lab.hypervisor.configurations)

        listing = lab.repositories.ListPoints(
            repository_pb2.ListPointsRequest(parent="repositories/main"), timeout=PATIENCE_S
        )
        listed = {each.point.point_id: each async for each in listing}
        assert {first.point_id: (first, ""), second.point_id: (second, "")} == {
            point_id: (each.point, each.damage_message) for point_id, each in listed.items()
        }


async def test_what_the_pool_does_to_a_source_while_it_is_read_is_told(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    moved = capture_pb2.Notice(code="SNAPSHOT_MOVED", message="It was moved.")
    waits = capture_pb2.Notice(code="SNAPSHOT_WAITS", message="It is removed later.")
    async with Lab(nats_server, tmp_path, small_disks()).running() as lab:
        lab.hypervisor.happened.append(moved)
        lab.hypervisor.happened_late.append(waits)
        result = await lab.backed_up()
        assert ([moved], [moved, waits]) == (list(result.point.notices), list(result.notices))
        calls = [call for call in lab.hypervisor.calls if call in ("ReviewBackupSource", "CloseBackupSource")]
        assert ["ReviewBackupSource", "CloseBackupSource"] == calls


async def test_verification_finds_a_flipped_byte_and_a_restore_of_it_makes_nothing(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, small_disks()).running() as lab:
        sound = (await lab.backed_up()).point.point_id
        lab.hypervisor.disks["disk-b"][:BLOCK] = noise(BLOCK, 3)
        packs = lab.place / "packs" / "data"
        before = set(packs.rglob("*"))
        spoilt = (await lab.backed_up()).point.point_id
        (pack,) = [
            path
            for path in (lab.place / "packs" / "data").rglob("*")
            if path.is_file() and path not in before
        ]
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)

        name = (await lab.status()).name
        transfer = await lab.repositories.VerifyRepository(
            repository_pb2.VerifyRepositoryRequest(name=name), timeout=PATIENCE_S
        )
        result = await lab.finished(transfer.name.removeprefix("transfers/"))
        assert [[spoilt]] == [list(damage.point_ids) for damage in result.damages]
        assert pack.name in result.damages[0].object
        found = await lab.event(events_pb2.DamageFound)
        assert (name, "main", list(result.damages)) == (
            found.repository,
            found.repository_display_name,
            list(found.damages),
        )
        verified = await lab.event(events_pb2.RepositoryVerified)
        assert (True, [sound], [spoilt]) == (
            verified.full,
            list(verified.sound_point_ids),
            list(verified.damaged_point_ids),
        )

        end = await lab.ended(await lab.restore(spoilt))
        assert isinstance(end, events_pb2.TransferFailed)
        assert ("DataLoss", False) == (end.failure.kind, end.retryable)
        assert "PrepareRestoreTarget" not in lab.hypervisor.calls
        await lab.finished(await lab.restore(sound))
        assert repository_pb2.Repository.STATE_DAMAGED == (await lab.status()).state


async def test_samples_go_on_where_the_last_one_ended_whichever_mover_takes_them(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    disks = {"xvda": noise(40 * MIB)}
    async with Lab(nats_server, tmp_path, disks).running() as lab:
        await lab.backed_up()
        request = repository_pb2.VerifyRepositoryRequest(
            name="main", sample=transfer_pb2.Sample(pack_count=1)
        )
        starts, packs = list[str](), 0
        while len(starts) <= packs:
            transfer = await lab.repositories.VerifyRepository(request, timeout=PATIENCE_S)
            result = await lab.finished(transfer.name.removeprefix("transfers/"))
            assert 1 == result.sample.checked_pack_count
            starts.append(result.sample.next_start)
            packs = result.sample.pack_count
        assert starts[0] == starts[-1], "once around"
        assert packs == len(set(starts)) > 2
        verified = lab.told(events_pb2.RepositoryVerified)
        assert all(each.HasField("sample") and not each.sound_point_ids for each in verified)

        request.sample.pack_count = -1
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await lab.repositories.VerifyRepository(request, timeout=PATIENCE_S)
        assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()


async def test_an_index_that_is_lost_is_made_again(nats_server: NatsServer, tmp_path: Path) -> None:
    async with Lab(nats_server, tmp_path, small_disks()).running() as lab:
        point = (await lab.backed_up()).point.point_id
        for segment in (lab.place / "index").iterdir():
            segment.unlink()
        transfer = await lab.repositories.RebuildRepository(
            repository_pb2.RebuildRepositoryRequest(name="main"), timeout=PATIENCE_S
        )
        result = await lab.finished(transfer.name.removeprefix("transfers/"))
        assert result.checked_objects > 0
        await lab.finished(await lab.restore(point))
        assert lab.hypervisor.hashes() == lab.hypervisor.restored()


async def test_a_transfer_can_be_watched_to_its_end(nats_server: NatsServer, tmp_path: Path) -> None:
    async with Lab(nats_server, tmp_path, small_disks()).running() as lab:
        lab.hypervisor.hold_after = MIB
        transfer_id = await lab.back_up()
        await lab.event(events_pb2.TransferProgressed)
        request = transfer_pb2.WatchTransferRequest(name=f"transfers/{transfer_id}")
        states = []
        async for seen in lab.transfers.WatchTransfer(request, timeout=PATIENCE_S):
            states.append(seen)
            for gates in lab.hypervisor.snapshots[lab.source(transfer_id)].gates.values():
                gates[-1].open()
        assert transfer_pb2.Transfer.STATE_SUCCEEDED == states[-1].state
        done = [state.progress.done_bytes for state in states]
        totals = [state.progress.total_bytes for state in states]
        assert (sorted(done), sorted(totals)) == (done, totals)
        assert 6 * MIB + 512 == done[-1] == totals[-1]


async def test_a_transfer_that_waits_for_room_says_so(nats_server: NatsServer, tmp_path: Path) -> None:
    async with Lab(nats_server, tmp_path, small_disks()).running({"XENKEEP_TRANSFERS_AT_ONCE": "1"}) as lab:
        lab.hypervisor.hold_after = MIB
        backup = await lab.back_up()
        await lab.event(events_pb2.TransferProgressed)
        request = repository_pb2.VerifyRepositoryRequest(name="main")
        waiting = await lab.repositories.VerifyRepository(request, timeout=PATIENCE_S)
        look = transfer_pb2.GetTransferRequest(name=waiting.name)
        shown = await lab.transfers.GetTransfer(look, timeout=PATIENCE_S)
        assert transfer_pb2.Transfer.STATE_QUEUED == shown.state
        assert shown.progress.activity.endswith("this one works on 1 at once")
        for gates in lab.hypervisor.snapshots[lab.source(backup)].gates.values():
            for gate in gates:
                gate.open()
        await lab.finished(backup)
        await lab.finished(waiting.name.removeprefix("transfers/"))


async def test_work_that_cannot_be_done_is_answered(nats_server: NatsServer, tmp_path: Path) -> None:
    async with Lab(nats_server, tmp_path, small_disks()).running() as lab:
        for reason, spec in {
            "TRANSFER_KIND_UNKNOWN": transfer_pb2.TransferSpec(),
            "NAME_INVALID": _backup("vms/web", "main"),
            "REPOSITORY_NOT_FOUND": _backup("pools/pool-1/vms/web", "elsewhere"),
            "CONNECTIONS_INVALID": _backup("pools/pool-1/vms/web", "main", connections_per_disk=99),
        }.items():
            end = await lab.ended(await lab.ask(spec))
            assert isinstance(end, events_pb2.TransferFailed)
            assert (reason, False) == (end.failure.reason, end.retryable)
            assert end.failure.hint


def _backup(vm: str, repository: str, **more: Any) -> transfer_pb2.TransferSpec:
    return transfer_pb2.TransferSpec(backup=transfer_pb2.BackupSpec(vm=vm, repository=repository, **more))
