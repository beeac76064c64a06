"""What the head of a QCOW2 image tells of a disk, checked against qemu-img's images and the simulator's."""

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.hypervisor.domain import qcow2
from services.hypervisor.domain.extents import changed_extents
from services.simulator.storage.codecs import qcow2 as simulated
from services.simulator.storage.sr import Sr

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def _written(image: bytes) -> list[tuple[int, int]]:
    """(offset, length) of what the head tells, reading it from front to back only."""
    layout = qcow2.layout(image[: qcow2.HEADER_BYTES])
    allocation = qcow2.Allocation(layout)
    for offset, number in qcow2.l2_tables(layout, image[layout.l1_offset :][: layout.l1_bytes]):
        allocation.add(number, image[offset : offset + layout.cluster_bytes])
    extents = changed_extents(allocation.bitmap(), layout.size_bytes, layout.size_bytes)
    return [(each.offset_bytes, each.length_bytes) for each in extents]


def _made_by_qemu(folder: Path, size: int, written: list[int], *options: str) -> bytes:
    raw, made = folder / "disk.raw", folder / "disk.qcow2"
    with raw.open("wb") as file:
        file.truncate(size)
        for offset in written:
            file.seek(offset)
            file.write(b"\x55" * 512)
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, str(raw), str(made)]
    subprocess.run(convert, check=True)
    return made.read_bytes()


def test_clusters_that_were_written_are_told_from_those_that_never_were(tmp_path: Path) -> None:
    image = _made_by_qemu(tmp_path, 64 * MIB, [0, 10 * MIB + 4096, 64 * MIB - 512])
    last = 64 * MIB - 64 * KIB
    assert [(0, 64 * KIB), (10 * MIB, 64 * KIB), (last, 64 * KIB)] == _written(image)


def test_larger_clusters_are_told_whole(tmp_path: Path) -> None:
    image = _made_by_qemu(tmp_path, 5 * MIB, [3 * MIB], "-o", "cluster_size=2M")
    assert [(2 * MIB, 2 * MIB)] == _written(image)


@pytest.mark.parametrize("size", [64 * KIB, 514 * MIB, 3000 * GIB])
def test_a_disk_of_any_size_is_told_to_64_kib(tmp_path: Path, size: int) -> None:
    sr = Sr.create(tmp_path / "sr", GIB)
    sr.create_disk("disk", size, "qcow2")
    disk = sr.disk("disk")
    places = sorted({0, size // 2 // (64 * KIB) * 64 * KIB, size - 64 * KIB})
    for place in places:
        disk.write(place, b"e" * 512)
    image = b"".join(simulated.export(disk))
    assert places == [offset for offset, length in _written(image) for offset in _blocks(offset, length)]


def _blocks(offset: int, length: int) -> Iterator[int]:
    yield from range(offset, offset + length, 64 * KIB)


def test_a_disk_that_was_written_all_over_is_told_as_one_piece(tmp_path: Path) -> None:
    layout = qcow2.layout(_header(cluster_bits=16, size=1 * GIB))
    allocation = qcow2.Allocation(layout)
    for number in range(layout.l1_entries):
        allocation.add(number, b"\x80" * layout.cluster_bytes)
    extents = list(changed_extents(allocation.bitmap(), 1 * GIB, 1 * GIB))
    assert [(0, 1 * GIB)] == [(each.offset_bytes, each.length_bytes) for each in extents]


def test_tables_behind_data_are_refused(tmp_path: Path) -> None:
    image = _made_by_qemu(tmp_path, 1100 * MIB, [0, 700 * MIB])
    with pytest.raises(ValueError, match="not at its head"):
        _written(image)


@pytest.mark.parametrize(
    "options", [("-o", "compat=0.10"), ("-o", "cluster_size=4096"), ("-o", "extended_l2=on,cluster_size=64k")]
)
def test_images_of_another_kind_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    image = _made_by_qemu(tmp_path, 4 * MIB, [0], *options)
    with pytest.raises(ValueError, match=r"version|clusters|features"):
        qcow2.layout(image[: qcow2.HEADER_BYTES])


def test_an_image_upon_another_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "child.qcow2"
    (tmp_path / "base.raw").write_bytes(bytes(MIB))
    create = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        str(tmp_path / "base.raw"),
        "-F",
        "raw",
        str(made),
    ]
    subprocess.run(create, check=True)
    with pytest.raises(ValueError, match="builds upon"):
        qcow2.layout(made.read_bytes()[: qcow2.HEADER_BYTES])


@pytest.mark.parametrize(
    "fields",
    [{"magic": b"conn"}, {"cluster_bits": 63}, {"l1_entries": 0}, {"l1_offset": 1 << 60}, {"l1_offset": 8}],
)
def test_a_header_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"QCOW2|clusters|sense"):
        qcow2.layout(_header(**fields))


def _header(
    magic: bytes = b"QFI\xfb",
    cluster_bits: int = 16,
    size: int = GIB,
    l1_entries: int = 2,
    l1_offset: int = 3 << 16,
) -> bytes:
    basic = struct.pack(">4sIQIIQIIQ", magic, 3, 0, 0, cluster_bits, size, 0, l1_entries, l1_offset)
    return basic.ljust(qcow2.HEADER_BYTES, b"\0")
