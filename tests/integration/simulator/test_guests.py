"""A guest from outside: qemu-io and nbdcopy write to a running VM's disk while it is backed up."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.simulator.v1 import simulator_pb2 as pb
from xenkeep.simulator.v1.simulator_pb2_grpc import SimulatorServiceStub

from services.simulator.control.server import ControlServer
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import MIB, Sdk
from tests.integration.simulator.test_vm_life import only_vm

SIZE = 8 * MIB


@pytest.fixture
async def control(simulation: Simulation, tmp_path: Path) -> Any:
    socket = tmp_path / "control.sock"
    channel = grpc.aio.insecure_channel(f"unix:{socket}")
    async with ControlServer(simulation.pool, socket), channel:
        yield SimulatorServiceStub(channel)


@pytest.fixture
async def uri(control: Any, sdk: Sdk, tmp_path: Path) -> AsyncIterator[str]:
    """The disk of the only VM in the hands of a guest."""
    disk = await uuid_of(sdk)
    request = pb.AttachGuestRequest(disk_id=disk, socket_path=str(tmp_path / "guest.sock"))
    yield (await control.AttachGuest(request)).uri


async def ref_of(sdk: Sdk) -> str:
    (ref,) = [
        vdi
        for vdi in await sdk.call("VDI.get_by_name_label", "web disk 0")
        if not await sdk.call("VDI.get_is_a_snapshot", vdi)
    ]
    return str(ref)


async def uuid_of(sdk: Sdk) -> str:
    return str(await sdk.call("VDI.get_uuid", await ref_of(sdk)))


async def tool(*command: str) -> tuple[int, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def qemu_io(uri: str, *commands: str) -> str:
    arguments = [part for command in commands for part in ("-c", command)]
    status, output = await tool("qemu-io", "-f", "raw", *arguments, uri)
    assert status == 0, output
    assert "error" not in output.lower(), output
    return output


async def test_what_a_guest_writes_is_in_the_disk(control: Any, sdk: Sdk, uri: str, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(os.urandom(SIZE))
    status, output = await tool("nbdcopy", str(image), uri)
    assert status == 0, output
    copy = tmp_path / "copy.raw"
    await control.CopyDisk(pb.CopyDiskRequest(disk_id=await uuid_of(sdk), path=str(copy)))
    assert copy.read_bytes() == image.read_bytes()
    await qemu_io(uri, "write -P 0x5a 1M 64k", "flush", "read -P 0x5a 1M 64k")


async def test_tracking_sees_what_a_guest_wrote_between_two_snapshots(
    control: Any, sdk: Sdk, uri: str
) -> None:
    disk = await ref_of(sdk)
    await sdk.call("VDI.enable_cbt", disk)
    base = await sdk.call("VDI.snapshot", disk)
    await qemu_io(uri, "write -P 1 0 64k", "write -P 2 640k 64k", "flush")
    later = await sdk.call("VDI.snapshot", disk)
    bitmap = base64.b64decode(await sdk.call("VDI.list_changed_blocks", base, later))
    bits = "".join(f"{byte:08b}" for byte in bitmap)
    assert [number for number, bit in enumerate(bits) if bit == "1"] == [0, 10]


async def test_snapshots_during_a_guests_writes_are_of_one_moment(
    control: Any, sdk: Sdk, uri: str, tmp_path: Path
) -> None:
    """The guest fills the disk block by block, in order: a snapshot holds a beginning and nothing after."""
    disk, vm = await ref_of(sdk), await only_vm(sdk)
    await sdk.call("VDI.enable_cbt", disk)
    commands = [f"write -P 7 {offset}k 64k" for offset in range(0, SIZE // 1024, 64)]
    writing = asyncio.create_task(qemu_io(uri, *commands, "flush"))
    for number in range(4):
        await sdk.run("VM.snapshot", vm, f"during {number}")
    await writing
    for number in range(4):
        (snapshot,) = await sdk.call("VM.get_by_name_label", f"during {number}")
        vbds = [await sdk.call("VBD.get_record", vbd) for vbd in await sdk.call("VM.get_VBDs", snapshot)]
        (vdi,) = [vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk"]
        path = tmp_path / f"{number}.raw"
        uuid = await sdk.call("VDI.get_uuid", vdi)
        await control.CopyDisk(pb.CopyDiskRequest(disk_id=uuid, path=str(path)))
        content = path.read_bytes()
        assert content.rstrip(b"\0") == b"\7" * len(content.rstrip(b"\0"))
        assert content.count(7) % (64 * 1024) == 0


async def test_a_checkpoint_holds_the_guest_and_lets_it_go_on(control: Any, sdk: Sdk, uri: str) -> None:
    vm = await only_vm(sdk)
    writing = asyncio.create_task(qemu_io(uri, *["write -P 3 0 1M"] * 20, "flush"))
    await sdk.run("VM.checkpoint", vm, "with memory")
    await writing
    await qemu_io(uri, "read -P 3 0 1M")


async def test_a_paused_vm_writes_nothing(control: Any, sdk: Sdk, uri: str) -> None:
    vm, disk = await only_vm(sdk), await uuid_of(sdk)
    await sdk.call("VM.pause", vm)
    before = (await control.HashDisk(pb.HashDiskRequest(disk_id=disk))).sha256
    writing = asyncio.create_task(qemu_io(uri, "write -P 9 0 64k", "flush"))
    done, _ = await asyncio.wait([writing], timeout=0.5)
    assert not done
    assert (await control.HashDisk(pb.HashDiskRequest(disk_id=disk))).sha256 == before
    await sdk.call("VM.unpause", vm)
    await writing
    assert (await control.HashDisk(pb.HashDiskRequest(disk_id=disk))).sha256 != before


async def test_the_guest_is_gone_with_its_vm(control: Any, sdk: Sdk, uri: str, tmp_path: Path) -> None:
    vm = await only_vm(sdk)
    await sdk.call("VM.hard_shutdown", vm)
    assert not (tmp_path / "guest.sock").exists()
    request = pb.AttachGuestRequest(disk_id=await uuid_of(sdk), socket_path=str(tmp_path / "again.sock"))
    with pytest.raises(grpc.aio.AioRpcError, match="no running VM"):
        await control.AttachGuest(request)
    await sdk.call("VM.start", vm, False, False)
    await control.AttachGuest(request)


async def test_a_guest_is_gone_with_its_host(
    control: Any, sdk: Sdk, simulation: Simulation, uri: str, tmp_path: Path
) -> None:
    await simulation.pool.failures.kill(simulation.pool.host_named("host-1"))
    assert not (tmp_path / "guest.sock").exists()


async def test_a_disk_is_given_to_one_guest_at_a_time(
    control: Any, sdk: Sdk, uri: str, tmp_path: Path
) -> None:
    disk = await uuid_of(sdk)
    request = pb.AttachGuestRequest(disk_id=disk, socket_path=str(tmp_path / "second.sock"))
    with pytest.raises(grpc.aio.AioRpcError, match="DEVICE_ALREADY_ATTACHED"):
        await control.AttachGuest(request)
    await control.DetachGuest(pb.DetachGuestRequest(disk_id=disk))
    await control.AttachGuest(request)
