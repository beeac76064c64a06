"""Libnbd's tools, which know nothing of xapi, read simulated disks from a host."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from services.simulator.nbd.ports import Export, ExportRefused, Mode
from services.simulator.nbd.server import NbdServer
from services.simulator.storage.ports import Disk
from services.simulator.storage.sr import Sr

MIB = 1024 * 1024
NAME = "/6ae0cbb9-4b2a-4d3f-8c7e-5f1d3c0a9b21?session_id=OpaqueRef:1f0e"


class OpenDoor:
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.chosen_mode = Mode.FORCED_TLS

    def mode(self) -> Mode:
        return self.chosen_mode

    async def open_export(self, name: str) -> Export:
        if name != NAME:
            raise ExportRefused(name)
        return Export(self.disk, token=None)

    async def close_export(self, export: Export) -> None:
        pass


async def run(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    sr = Sr.create(tmp_path / "sr", 1024 * MIB)
    sr.create_disk("disk", 32 * MIB)
    disk = sr.disk("disk")
    disk.write(MIB, random.Random(1).randbytes(9 * MIB))
    sr.snapshot("disk", "snapshot", "base")
    disk.write(30 * MIB, random.Random(2).randbytes(2 * MIB))
    return disk


def contents(disk: Disk) -> bytes:
    buffer = bytearray(disk.virtual_size)
    disk.read_into(0, buffer)
    return bytes(buffer)


@pytest.fixture
def door(disk: Disk) -> OpenDoor:
    return OpenDoor(disk)


@pytest.fixture
async def uri(door: OpenDoor, tmp_path: Path) -> AsyncIterator[str]:
    authority = trustme.CA()
    (tmp_path / "tls").mkdir()
    authority.cert_pem.write_to_path(tmp_path / "tls" / "ca-cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = NbdServer(door, context)
    await server.start("127.0.0.1", 0)
    yield f"nbds://localhost:{server.port}/{quote(NAME)}?tls-certificates={tmp_path / 'tls'}"
    await server.close()


async def test_nbdinfo_sees_a_read_only_disk_over_tls(uri: str, disk: Disk) -> None:
    told = json.loads(await run("nbdinfo", "--json", "--no-content", uri))
    (export,) = told["exports"]
    assert told["protocol"] == "newstyle-fixed"
    assert (export["export-size"], export["is_read_only"]) == (disk.virtual_size, True)


async def test_nbdcopy_gets_the_disk_over_several_connections(uri: str, disk: Disk, tmp_path: Path) -> None:
    await run("nbdcopy", "--connections=4", "--requests=8", uri, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == contents(disk)


async def test_nbdcopy_reads_an_insecure_export(uri: str, door: OpenDoor, disk: Disk, tmp_path: Path) -> None:
    door.chosen_mode = Mode.PLAIN
    plain = uri.replace("nbds://", "nbd://").split("?tls")[0]
    await run("nbdcopy", plain, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == contents(disk)
