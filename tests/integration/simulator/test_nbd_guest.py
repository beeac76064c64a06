"""A guest works on a simulated disk through qemu and libnbd's tools, while snapshots are taken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.simulator.nbd.guest import GuestDisk
from services.simulator.storage.ports import Disk
from services.simulator.storage.sr import Sr

MIB = 1024 * 1024


async def run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.fixture
def sr(tmp_path: Path) -> Sr:
    sr = Sr.create(tmp_path / "sr", 512 * MIB)
    sr.create_disk("disk", 64 * MIB)
    return sr


@pytest.fixture
async def guest(sr: Sr, tmp_path: Path) -> AsyncIterator[GuestDisk]:
    guest = GuestDisk(sr.disk("disk"), tmp_path / "guest.sock")
    await guest.start()
    yield guest
    await guest.close()
    assert not (tmp_path / "guest.sock").exists()


def contents(disk: Disk) -> bytes:
    buffer = bytearray(disk.virtual_size)
    disk.read_into(0, buffer)
    return bytes(buffer)


async def test_nbdcopy_fills_the_disk_and_reads_it_back(guest: GuestDisk, sr: Sr, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(5 * MIB) + bytes(59 * MIB)
    (tmp_path / "in").write_bytes(content)
    assert await run("nbdcopy", str(tmp_path / "in"), guest.uri) == (0, "")
    assert contents(sr.disk("disk")) == content
    assert await run("nbdcopy", guest.uri, str(tmp_path / "out")) == (0, "")
    assert (tmp_path / "out").read_bytes() == content
    assert sr.node("disk").physical_utilisation < 8 * MIB


async def test_a_file_system_lives_on_the_disk_and_its_snapshot_is_consistent(
    guest: GuestDisk, sr: Sr, tmp_path: Path
) -> None:
    image = tmp_path / "fs.raw"
    image.write_bytes(bytes(64 * MIB))
    assert (await run("mke2fs", "-q", "-t", "ext4", "-E", "nodiscard", str(image)))[0] == 0
    assert await run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), guest.uri) == (0, "")
    sr.snapshot("disk", "snapshot", "base")
    code, told = await run("qemu-io", "-f", "raw", "-c", "write -P 0xaa 0 1M", guest.uri)
    assert (code, "wrote 1048576" in told) == (0, True)
    sr.disk("snapshot")
    (tmp_path / "snapshot.raw").write_bytes(contents(sr.disk("snapshot")))
    assert (await run("e2fsck", "-fn", str(tmp_path / "snapshot.raw")))[0] == 0
    assert contents(sr.disk("disk"))[:MIB] == b"\xaa" * MIB


@pytest.mark.parametrize(
    ("command", "expected"),
    [("write -z 1M 2M", bytes(2 * MIB)), ("discard 1M 2M", b"\x11" * 2 * MIB), ("flush", b"\x11" * 2 * MIB)],
)
async def test_zeroes_are_written_and_trims_are_ignored(
    guest: GuestDisk, sr: Sr, command: str, expected: bytes
) -> None:
    sr.disk("disk").write(0, b"\x11" * 4 * MIB)
    code, told = await run("qemu-io", "-f", "raw", "-d", "unmap", "-c", command, guest.uri)
    assert (code, "rror" in told) == (0, False)
    assert contents(sr.disk("disk"))[MIB : 3 * MIB] == expected


async def test_a_full_sr_is_no_space_for_the_guest(tmp_path: Path) -> None:
    sr = Sr.create(tmp_path / "sr", MIB)
    sr.create_disk("disk", 4 * MIB)
    guest = GuestDisk(sr.disk("disk"), tmp_path / "guest.sock")
    await guest.start()
    _, told = await run("qemu-io", "-f", "raw", "-c", "write 0 2M", guest.uri)
    assert "No space left on device" in told
    await guest.close()


async def test_a_destroyed_disk_is_an_io_error_for_the_guest(guest: GuestDisk, sr: Sr) -> None:
    sr.destroy("disk")
    _, told = await run("qemu-io", "-f", "raw", "-c", "read 0 512", guest.uri)
    assert "Input/output error" in told


async def test_writes_during_many_snapshots_are_all_there(guest: GuestDisk, sr: Sr, tmp_path: Path) -> None:
    content = random.Random(2).randbytes(64 * MIB)
    (tmp_path / "in").write_bytes(content)
    copying = asyncio.create_task(run("nbdcopy", "--connections=2", str(tmp_path / "in"), guest.uri))
    number = 0
    while not copying.done():
        number += 1
        await asyncio.to_thread(sr.snapshot, "disk", f"s{number}", f"b{number}")
        await asyncio.to_thread(sr.destroy, f"s{number}")
        await asyncio.to_thread(sr.coalesce_step)
    assert await copying == (0, "")
    assert number > 1
    assert contents(sr.disk("disk")) == content
