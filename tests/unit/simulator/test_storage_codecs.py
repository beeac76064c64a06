"""Disks survive travelling in every format, in pieces of any size; broken streams are refused."""

from __future__ import annotations

import io
import itertools
import random
import struct
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import xxhash

from services.simulator.storage.codecs import chunked, raw, tar, vhd, vhd_format
from services.simulator.storage.errors import BadImage
from services.simulator.storage.ports import BLOCK, Disk, DiskImport
from services.simulator.storage.sr import Sr

MIB = 1024 * 1024
SIZE = 8 * MIB
UUID = "2d1f6ac4-93b8-4f0e-8d3c-6b5a4f3e2d1c"
BASE = "a0f3c5d7-1b2e-4c6d-9e8f-7a6b5c4d3e2f"


@pytest.fixture
def sr(tmp_path: Path) -> Sr:
    sr = Sr.create(tmp_path / "sr", 256 * MIB)
    sr.create_disk("disk", SIZE)
    sr.create_disk("target", SIZE)
    disk = sr.disk("disk")
    disk.write(0, random.Random(1).randbytes(3 * MIB + 512))
    sr.snapshot("disk", BASE, "base")
    disk.write(5 * MIB + 512, random.Random(2).randbytes(BLOCK))
    disk.write(MIB, bytes(MIB))
    return sr


def contents(disk: Disk) -> bytes:
    buffer = bytearray(disk.virtual_size)
    disk.read_into(0, buffer)
    return bytes(buffer)


def feed(importer: DiskImport, stream: Iterable[bytes | bytearray], seed: int) -> None:
    data, lengths = b"".join(stream), random.Random(seed)
    while data:
        length = lengths.choice([1, 511, 512, 70_000, MIB, 5 * MIB])
        importer.feed(data[:length])
        data = data[length:]
    importer.finish()


def frames(disk: Disk) -> Iterable[bytes]:
    for extent in disk.extents():
        if extent.data:
            data = bytearray(extent.length)
            disk.read_into(extent.offset, data)
            yield struct.pack("<QI", extent.offset, extent.length) + data
    yield bytes(12)


Import = Callable[[Disk], DiskImport]
FORMATS = [
    pytest.param(raw.export, raw.RawImport, id="raw"),
    pytest.param(frames, chunked.ChunkedImport, id="frames"),
    pytest.param(lambda disk: vhd.export(disk, uuid=UUID), vhd.VhdImport, id="vhd"),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("export", "importer"), FORMATS)
def test_a_disk_arrives_as_it_left(
    sr: Sr, export: Callable[[Disk], Iterable[bytes]], importer: Import, seed: int
) -> None:
    feed(importer(sr.disk("target")), export(sr.disk("disk")), seed)
    assert contents(sr.disk("target")) == contents(sr.disk("disk"))


@pytest.mark.parametrize("kind", ["frames", "vhd"])
def test_a_stream_that_ends_early_is_refused(sr: Sr, kind: str) -> None:
    disk, target = sr.disk("disk"), sr.disk("target")
    stream = b"".join(frames(disk) if kind == "frames" else vhd.export(disk, uuid=UUID))
    cut = len(stream) - 512 - 1
    importer: DiskImport = (chunked.ChunkedImport if kind == "frames" else vhd.VhdImport)(target)
    importer.feed(stream[:cut])
    with pytest.raises(BadImage, match="more bytes were due"):
        importer.finish()
    assert not importer.complete


def test_a_short_raw_image_overwrites_just_the_start(sr: Sr) -> None:
    target = sr.disk("target")
    target.write(0, b"o" * SIZE)
    feed(raw.RawImport(target), [b"n" * 100], 1)
    assert contents(target) == b"n" * 100 + b"o" * (SIZE - 100)


def test_a_raw_image_of_zeroes_allocates_nothing_and_clears_what_was_there(sr: Sr) -> None:
    target = sr.disk("target")
    target.write(BLOCK, b"o" * BLOCK)
    used = sr.usage().physical_utilisation
    feed(raw.RawImport(target), [bytes(SIZE)], 1)
    assert (contents(target), sr.usage().physical_utilisation) == (bytes(SIZE), used)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(struct.pack("<QI", 0, 8) + bytes(8), id="not whole sectors"),
        pytest.param(struct.pack("<QI", SIZE, 512) + bytes(512), id="beyond the end"),
        pytest.param(struct.pack("<QI", 2**63, 512) + bytes(512), id="far beyond the end"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(sr: Sr, frame: bytes) -> None:
    with pytest.raises(BadImage):
        chunked.ChunkedImport(sr.disk("target")).feed(frame)


def test_an_image_larger_than_the_disk_is_refused(sr: Sr) -> None:
    sr.create_disk("small", 2 * MIB)
    with pytest.raises(BadImage):
        feed(raw.RawImport(sr.disk("small")), raw.export(sr.disk("disk")), 1)
    with pytest.raises(BadImage):
        feed(vhd.VhdImport(sr.disk("small")), vhd.export(sr.disk("disk"), uuid=UUID), 1)


def test_a_differencing_vhd_holds_the_difference_and_restores_it(sr: Sr) -> None:
    disk = sr.disk("disk")
    stream = b"".join(vhd.export(disk, BASE, uuid=UUID))
    header = vhd_format.unpack_header(stream[512:1536])
    assert (vhd_format.unpack_footer(stream[:512]).kind, header.parent) == (vhd_format.DIFFERENCING, BASE)
    assert len(stream) == 2048 + 512 + 2 * (512 + 2 * MIB) + 512
    sr.copy(BASE, sr, "target")
    feed(vhd.VhdImport(sr.disk("target")), [stream], 1)
    assert contents(sr.disk("target")) == contents(disk)


def _damaged(stream: bytes, offset: int, data: bytes) -> bytes:
    return stream[:offset] + data + stream[offset + len(data) :]


@pytest.mark.parametrize(
    ("offset", "data"),
    [(0, b"garbage!"), (40, b"\xff"), (512, b"cxSparse"), (512 + 30, b"\xff"), (2048, b"\0\0\0\1")],
)
def test_a_damaged_vhd_is_refused(sr: Sr, offset: int, data: bytes) -> None:
    stream = b"".join(vhd.export(sr.disk("disk"), uuid=UUID))
    with pytest.raises(BadImage):
        vhd.VhdImport(sr.disk("target")).feed(_damaged(stream, offset, data))


@pytest.mark.parametrize("header", [vhd_format.Header(2**31), vhd_format.Header(4, block_size=3)])
def test_an_unbelievable_vhd_header_is_refused(sr: Sr, header: vhd_format.Header) -> None:
    stream = b"".join(vhd.export(sr.disk("disk"), uuid=UUID))
    with pytest.raises(BadImage):
        vhd.VhdImport(sr.disk("target")).feed(_damaged(stream, 512, vhd_format.pack_header(header)))


def test_tar_leaves_out_zero_chunks_but_the_first_and_last(sr: Sr) -> None:
    disk = sr.disk("disk")
    archive = tarfile.open(fileobj=io.BytesIO(b"".join(tar.export(disk))))  # noqa: SIM115
    names = archive.getnames()
    expected = [f"vdi/{number:08}" for number in (0, 2, 3, 5, 7)]
    assert names == [name for chunk in expected for name in (chunk, chunk + ".xxhash")]
    importer = tar.ChunkImport(sr.disk("target"))
    for name in expected:
        chunk, told = archive.extractfile(name), archive.extractfile(name + ".xxhash")
        assert chunk is not None
        assert told is not None
        data = chunk.read()
        assert told.read().decode() == f"{xxhash.xxh64_hexdigest(data).upper()}"
        importer.add(int(name[-8:]), data)
    assert contents(sr.disk("target")) == contents(disk)


def test_signs_of_life_between_zeroes_do_not_move_what_follows(sr: Sr) -> None:
    disk = sr.disk("disk")
    ticks = itertools.count(0.0, 6.0)
    stream = b"".join(tar.members(disk, "vdi", tar.xxhash64, lambda: next(ticks))) + tar.END_OF_ARCHIVE
    importer = tar.ChunkImport(sr.disk("target"))
    empty = 0
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        for member in archive:
            if member.name.endswith(".xxhash"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            importer.add(int(member.name.partition("/")[2]), file.read())
            empty += member.size == 0
    assert empty > 0
    assert contents(sr.disk("target")) == contents(disk)


def test_an_empty_chunk_takes_a_number_and_no_room(sr: Sr) -> None:
    target = sr.disk("target")
    importer = tar.ChunkImport(target)
    importer.add(0, b"a" * MIB)
    importer.add(1, b"")
    importer.add(2, b"b" * MIB)
    importer.add(4, b"c" * MIB)
    assert contents(target)[: 4 * MIB] == b"a" * MIB + b"b" * MIB + bytes(MIB) + b"c" * MIB
    with pytest.raises(BadImage):
        importer.add(4, b"d")
    with pytest.raises(BadImage):
        importer.add(99, b"d")
