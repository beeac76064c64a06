"""Exports look as a real pool's did, down to the byte where the content is known."""

from __future__ import annotations

import base64
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from services.simulator.storage.codecs import tar, vhd, vhd_format
from services.simulator.storage.ports import Disk
from services.simulator.storage.sr import Sr

GOLDEN = Path(__file__).parent / "golden" / "disks"
EXPORTS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "exports.json").read_text())
VHD = gzip.decompress((GOLDEN / "disk.vhd.gz").read_bytes())
MIB = 1024 * 1024


@pytest.fixture
def sr(tmp_path: Path) -> Sr:
    return Sr.create(tmp_path / "sr", 64 * MIB)


def contents(disk: Disk) -> bytes:
    buffer = bytearray(disk.virtual_size)
    disk.read_into(0, buffer)
    return bytes(buffer)


def test_a_recorded_vhd_is_imported_and_exported_byte_for_byte(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    importer = vhd.VhdImport(disk)
    for begin in range(0, len(VHD), 1000):
        importer.feed(VHD[begin : begin + 1000])
    importer.finish()
    name = vhd_format.unpack_footer(VHD[:512]).uuid
    assert b"".join(vhd.export(disk, uuid=name)) == VHD
    assert contents(disk) == VHD[3072 : 3072 + 2 * MIB]


def test_a_vhd_of_the_recorded_size_has_the_recorded_frame(sr: Sr) -> None:
    recorded = EXPORTS["vhd"]
    head = base64.b64decode(recorded["head_base64"])
    sr.create_disk("a", 4 * MIB)
    sr.disk("a").write(0, random.Random(1).randbytes(4 * MIB))
    stream = b"".join(vhd.export(sr.disk("a"), uuid=vhd_format.unpack_footer(head[:512]).uuid))
    assert (len(stream), stream[: len(head)]) == (recorded["length"], head)
    assert stream[-512:] == base64.b64decode(recorded["tail_base64"])[-512:]


def test_a_tar_of_the_recorded_disk_has_the_recorded_frame(sr: Sr) -> None:
    recorded = EXPORTS["tar"]
    head, tail = (base64.b64decode(recorded[f"{end}_base64"]) for end in ("head", "tail"))
    sr.create_disk("a", 4 * MIB)
    disk = sr.disk("a")
    disk.write(0, head[512:] + random.Random(1).randbytes(2 * MIB - len(head) + 512))
    disk.write(3 * MIB, random.Random(2).randbytes(MIB))
    stream = b"".join(tar.export(disk))
    assert (len(stream), stream[: len(head)]) == (recorded["length"], head)
    hash_at = slice(512, 528)  # of the last member; its content is unknown
    ours = stream[-len(tail) :]
    assert ours[: hash_at.start] + ours[hash_at.stop :] == tail[: hash_at.start] + tail[hash_at.stop :]
