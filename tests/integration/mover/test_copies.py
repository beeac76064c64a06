"""Restore points are copied through the real doors of a mover."""

from pathlib import Path

import grpc
import pytest
from xenkeep.mover.v1 import events_pb2, repository_pb2, transfer_pb2

from services.chassis.rpc.faults import error_from_rpc
from services.mover.repository import DirectoryStore, open_repository
from tests.integration.mover.hypervisor import BLOCK
from tests.integration.mover.lab import MIB, PASSPHRASE, PATIENCE_S, Lab, noise
from tests.support.nats import NatsServer


async def copy(lab: Lab, to: Path, **more: object) -> str:
    """Ask for a copy; the transfer's id."""
    spec = transfer_pb2.CopySpec(repository="main", target_url=to.as_uri(), **more)  # type: ignore[arg-type]
    request = repository_pb2.CopyRepositoryRequest(spec=spec)
    transfer = await lab.repositories.CopyRepository(request, timeout=PATIENCE_S)
    return transfer.name.removeprefix("transfers/")


async def three_backups(lab: Lab) -> list[str]:
    points = []
    for seed in range(3):
        lab.hypervisor.disks["disk-a"][seed * MIB : (seed + 1) * MIB] = noise(MIB, 10 + seed)
        points.append((await lab.backed_up()).point.point_id)
    return points


def packs(place: Path) -> list[Path]:
    return [path for path in place.glob("packs/*/*/*") if not path.name.startswith(".")]


def require_whole(place: Path, cache: Path, points: list[str]) -> None:
    with open_repository(DirectoryStore(place), PASSPHRASE, cache) as copied:
        assert copied.list_points() == sorted(points)
        assert copied.verify(full=True).findings == ()
    assert not list(place.glob("leases/*/*"))


async def test_a_copy_has_every_point_and_the_next_one_only_sends_the_difference(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(3 * MIB)}).running() as lab:
        points = await three_backups(lab)
        there = tmp_path / "copy"
        first = await lab.finished(await copy(lab, there))
        assert (first.copy.copied_point_count, first.copy.known_point_count) == (3, 0)
        assert first.copy.sent_pack_count == len(packs(there))
        assert first.copy.sent_bytes == sum(path.stat().st_size for path in packs(there))
        require_whole(there, tmp_path / "cache", points)

        lab.hypervisor.disks["disk-a"][:BLOCK] = noise(BLOCK, 3)
        points.append((await lab.backed_up()).point.point_id)
        second = await lab.finished(await copy(lab, there))
        assert (second.copy.copied_point_count, second.copy.known_point_count) == (1, 3)
        assert second.copy.sent_bytes < 8 * BLOCK
        require_whole(there, tmp_path / "cache", points)

        only = tmp_path / "newest"
        await lab.finished(await copy(lab, only, newest_count=1))
        require_whole(only, tmp_path / "cache-2", points[-1:])


async def test_a_copy_whose_mover_is_killed_goes_on_where_it_was(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(3 * MIB)}).running() as lab:
        points = await three_backups(lab)
        there = tmp_path / "copy"
        slow = transfer_pb2.RateLimit(bytes_per_second=MIB)
        transfer = await copy(lab, there, rate_limits=[slow])
        await lab.until(lambda: len(packs(there)) > 0)
        await lab.mover.kill()
        sent = sum(path.stat().st_size for path in packs(there))
        assert len(packs(there)) < len(packs(lab.place))
        await lab.mover.start()
        result = await lab.finished(transfer)
        assert result.resumed_from_bytes >= sent
        require_whole(there, tmp_path / "cache", points)


async def test_a_copy_that_waits_for_its_hour_is_cancelled_at_once(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(MIB)}).running() as lab:
        await lab.backed_up()
        there = tmp_path / "copy"
        never = transfer_pb2.RateLimit(bytes_per_second=0)
        transfer = await copy(lab, there, rate_limits=[never])
        await lab.until(lambda: bool(list(there.glob("leases/*/*"))))
        await lab.cancel(transfer)
        assert isinstance(await lab.ended(transfer), events_pb2.TransferCancelled)
        assert packs(there) == [] and not list(there.glob("leases/*/*"))


async def test_a_copy_goes_to_another_mover_that_has_no_key(nats_server: NatsServer, tmp_path: Path) -> None:
    replicas = tmp_path / "replicas"
    env = {"XENKEEP_REPLICAS": replicas.as_uri()}
    async with Lab(nats_server, tmp_path, {"disk-a": noise(3 * MIB)}).running(env) as lab:
        points = await three_backups(lab)
        spec = transfer_pb2.CopySpec(repository="main", target_url=f"mover://{lab.mover.target}")
        request = repository_pb2.CopyRepositoryRequest(spec=spec)
        transfer = await lab.repositories.CopyRepository(request, timeout=PATIENCE_S)
        result = await lab.finished(transfer.name.removeprefix("transfers/"))
        assert (result.copy.copied_point_count, list(result.notices)) == (3, [])
        (there,) = replicas.iterdir()
        require_whole(there, tmp_path / "cache", points)


async def test_a_repository_is_repaired_from_its_copy(nats_server: NatsServer, tmp_path: Path) -> None:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(3 * MIB)}).running() as lab:
        points = await three_backups(lab)
        there = tmp_path / "copy"
        await lab.finished(await copy(lab, there))
        for pack in packs(lab.place):
            pack.unlink()
        request = repository_pb2.VerifyRepositoryRequest(name="main")
        found = await lab.repositories.VerifyRepository(request, timeout=PATIENCE_S)
        damages = (await lab.finished(found.name.removeprefix("transfers/"))).damages
        assert {point for damage in damages for point in damage.point_ids} == set(points)

        heal = repository_pb2.HealRepositoryRequest(name="main", copy_url=there.as_uri())
        started = await lab.repositories.HealRepository(heal, timeout=PATIENCE_S)
        healed = (await lab.finished(started.name.removeprefix("transfers/"))).heal
        assert (healed.damaged_pack_count, healed.left_blob_count) == (len(damages), 0)
        with open_repository(DirectoryStore(lab.place), PASSPHRASE, tmp_path / "cache") as repaired:
            assert sorted(repaired.verify(full=True).sound_points) == sorted(points)
        heal = repository_pb2.HealRepositoryRequest(name="main", copy_url="mover://vault:7102")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await lab.repositories.HealRepository(heal, timeout=PATIENCE_S)
        assert error_from_rpc(refused.value).reason == "REPOSITORY_URL_INVALID"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"target_url": "ftp://there"}, "REPOSITORY_URL_INVALID"),
        ({"target_url": "mover://there"}, "MOVER_URL_INVALID"),
        ({"repository": "nobody"}, "REPOSITORY_NOT_FOUND"),
        ({"newest_count": -1}, "NEWEST_INVALID"),
        ({"time_zone": "Mars/Olympus"}, "TIME_ZONE_UNKNOWN"),
        ({"rate_limits": [transfer_pb2.RateLimit(start_minute=1440)]}, "RATE_LIMIT_INVALID"),
    ],
)
async def test_an_impossible_copy_is_refused_at_once(
    nats_server: NatsServer, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(BLOCK)}).running() as lab:
        wanted: dict[str, object] = {"repository": "main", "target_url": "file:///tmp/never"} | change
        spec = transfer_pb2.CopySpec(**wanted)  # type: ignore[arg-type]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await lab.repositories.CopyRepository(
                repository_pb2.CopyRepositoryRequest(spec=spec), timeout=PATIENCE_S
            )
        assert error_from_rpc(refused.value).reason == reason


async def test_a_place_with_something_else_and_the_repository_itself_are_refused_unchanged(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with Lab(nats_server, tmp_path, {"disk-a": noise(BLOCK)}).running() as lab:
        await lab.backed_up()
        foreign = tmp_path / "letters"
        foreign.mkdir()
        (foreign / "dear.txt").write_text("you")
        for place, reason in ((foreign, "STORE_NOT_EMPTY"), (lab.place, "COPY_TO_ITSELF")):
            end = await lab.ended(await copy(lab, place))
            assert isinstance(end, events_pb2.TransferFailed)
            assert (end.failure.reason, end.retryable) == (reason, False)
        assert [path.name for path in foreign.iterdir()] == ["dear.txt"]
