"""What the head of a VHD tells of a disk, checked against qemu-img's VHDs."""

import subprocess
from pathlib import Path

import pytest

from services.hypervisor.domain.allocation import HEAD_BYTES, allocation_bitmap, table_span
from services.hypervisor.domain.extents import changed_extents

MIB = 1 << 20
SIZE = 64 * MIB


@pytest.fixture
def vhd(tmp_path: Path) -> bytes:
    raw, made = tmp_path / "disk.raw", tmp_path / "disk.vhd"
    with raw.open("wb") as file:
        file.truncate(SIZE)
        for offset in (0, 10 * MIB + 4096, SIZE - 512):
            file.seek(offset)
            file.write(b"\x55" * 512)
    convert = [
        "qemu-img",
        "convert",
        "-O",
        "vpc",
        "-o",
        "subformat=dynamic,force_size=on",
        str(raw),
        str(made),
    ]
    subprocess.run(convert, check=True)
    return made.read_bytes()


def test_blocks_that_were_written_are_told_from_those_that_never_were(vhd: bytes) -> None:
    offset, length = table_span(vhd[:HEAD_BYTES])
    bitmap = allocation_bitmap(vhd[:HEAD_BYTES], vhd[offset : offset + length], SIZE)
    found = [(each.offset_bytes, each.length_bytes) for each in changed_extents(bitmap, SIZE, SIZE)]
    assert [(0, 2 * MIB), (10 * MIB, 2 * MIB), (62 * MIB, 2 * MIB)] == found


@pytest.mark.parametrize("position", [0, 60, 512, 512 + 32, 512 + 16])
def test_a_head_that_makes_no_sense_is_refused(vhd: bytes, position: int) -> None:
    head = bytearray(vhd[:HEAD_BYTES])
    head[position : position + 8] = bytes(8)
    with pytest.raises(ValueError, match=r"VHD|header"):
        table_span(bytes(head))


def test_a_table_shorter_than_the_disk_is_refused(vhd: bytes) -> None:
    offset, length = table_span(vhd[:HEAD_BYTES])
    with pytest.raises(ValueError, match="shorter"):
        allocation_bitmap(vhd[:HEAD_BYTES], vhd[offset : offset + length - 4], SIZE)
