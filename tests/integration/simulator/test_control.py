"""The control API, over its socket and from the command line, and the process as a whole."""

import asyncio
import hashlib
import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from xenkeep.simulator.v1 import simulator_pb2 as pb
from xenkeep.simulator.v1.simulator_pb2_grpc import SimulatorServiceStub

from services.simulator.control.server import ControlServer
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, PASSWORD, Sdk, describe, running
from tests.support.ports import free_port


@pytest.fixture
async def control(simulation: Simulation, tmp_path: Path) -> Any:
    socket = tmp_path / "control.sock"
    channel = grpc.aio.insecure_channel(f"unix:{socket}")
    async with ControlServer(simulation.pool, socket), channel:
        yield SimulatorServiceStub(channel)


async def test_only_the_owner_may_use_the_socket(control: Any, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600


async def test_state_names_hosts_and_their_vms(control: Any, simulation: Simulation) -> None:
    state = await control.GetState(pb.GetStateRequest())
    (host,) = state.hosts
    assert (state.version, host.display_name, host.alive, host.coordinator) == (
        "23.1.0",
        "host-1",
        True,
        True,
    )
    assert host.port == simulation.pool.description.https_port
    (vm,) = [vm for vm in simulation.pool.db.rows("VM") if vm["name_label"] == "web"]
    assert list(host.vm_ids) == [vm["uuid"]]


async def test_guest_writes_hashes_and_copies_agree(
    control: Any, simulation: Simulation, tmp_path: Path
) -> None:
    disk = next(vdi["uuid"] for vdi in simulation.pool.db.rows("VDI") if vdi["name_label"] == "web disk 0")
    data = os.urandom(MIB)
    write = pb.GuestWrite(offset_bytes=2 * MIB, data=data)
    answer = await control.WriteGuest(pb.WriteGuestRequest(disk_id=disk, writes=[write]))
    assert answer.written_bytes == MIB
    expected = bytes(2 * MIB) + data + bytes(5 * MIB)
    hashed = await control.HashDisk(pb.HashDiskRequest(disk_id=disk))
    assert (hashed.sha256, hashed.size_bytes) == (hashlib.sha256(expected).hexdigest(), 8 * MIB)
    path = tmp_path / "copy.raw"
    await control.CopyDisk(pb.CopyDiskRequest(disk_id=disk, path=str(path)))
    assert path.read_bytes() == expected
    assert path.stat().st_blocks * 512 < 2 * MIB


async def test_a_wrong_name_is_answered_with_the_right_ones(control: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await control.KillHost(pb.KillHostRequest(host="host-9"))
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    assert "host-1" in (refusal.value.details() or "")


async def test_cut_connections_break(control: Any, simulation: Simulation) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.11", simulation.pool.description.http_port)
    writer.write(b"OPTIONS / HTTP/1.1\r\n\r\n")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    kind = pb.CutConnectionsRequest.KIND_HTTP
    answer = await control.CutConnections(pb.CutConnectionsRequest(host="host-1", kind=kind))
    assert answer.count == 1
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(100_000)
    writer.close()


async def test_a_kill_and_a_revival_by_name(control: Any, simulation: Simulation) -> None:
    await control.KillHost(pb.KillHostRequest(host="host-1"))
    (host,) = (await control.GetState(pb.GetStateRequest())).hosts
    assert (host.alive, host.port) == (False, 0)
    await control.ReviveHost(pb.ReviveHostRequest(host="host-1"))
    sdk = await Sdk(simulation).log_in()
    sdk.close()


async def test_the_program_runs_a_described_pool_until_it_is_told_to_stop(tmp_path: Path) -> None:
    description = tmp_path / "pool.yaml"
    socket = tmp_path / "control.sock"
    image = tmp_path / "disk.raw"
    image.write_bytes(b"boot" + bytes(4 * MIB - 4))
    description.write_text(
        yaml.safe_dump(
            {
                "name": "demo",
                "data_dir": str(tmp_path / "data"),
                "https_port": free_port(),
                "nbd_port": free_port(),
                "control_socket": str(socket),
                "users": [{"name": "root", "password": PASSWORD}],
                "hosts": [{"name": f"h{n}", "address": f"127.0.0.{20 + n}", "cpus": 1} for n in (1, 2)],
                "vms": [{"name": "web", "host": "h2", "disks": [{"image": str(image)}]}],
            }
        ),
        "utf-8",
    )
    program = [sys.executable, "-m", "services.simulator"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*program, "run", str(description), stdout=pipe)
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    assert [host["name"] for host in ready["hosts"]] == ["h1", "h2"]
    assert ready["coordinator"] == "127.0.0.21"
    asked = await asyncio.create_subprocess_exec(*program, "state", "--control", str(socket), stdout=pipe)
    state, _ = await asked.communicate()
    assert [host["displayName"] for host in json.loads(state)["hosts"]] == ["h1", "h2"]
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert not socket.exists()


async def test_a_used_data_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "something").touch()
    with pytest.raises(FileExistsError, match="remove it or choose another"):
        async with running(describe(tmp_path / "pool")):
            pass
