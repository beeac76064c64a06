"""qemu-img agrees with what the disks of a simulated SR are exported as."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from services.simulator.storage.codecs import qcow2, raw, vhd, vhd_format
from services.simulator.storage.errors import BadImage
from services.simulator.storage.ports import Disk
from services.simulator.storage.sr import Sr

MIB = 1024 * 1024
GIB = 1024 * MIB
UUID = "2d1f6ac4-93b8-4f0e-8d3c-6b5a4f3e2d1c"


def qemu_img(*arguments: str) -> str:
    return subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, text=True).stdout


def vpc(path: Path) -> str:
    """The VHD at its full size: qemu trusts the geometry of creators it does not know, which rounds down."""
    file = {"driver": "file", "filename": str(path)}
    return "json:" + json.dumps({"driver": "vpc", "force_size_calc": "current_size", "file": file})


def save(path: Path, disk: Disk, base: str | None = None) -> None:
    with open(path, "wb") as file:
        for piece in vhd.export(disk, base, uuid=UUID):
            file.write(piece)


@pytest.fixture
def sr(tmp_path: Path) -> Sr:
    return Sr.create(tmp_path / "sr", GIB)


def test_a_dynamic_vhd_compares_equal(sr: Sr, tmp_path: Path) -> None:
    sr.create_disk("disk", 130 * MIB)
    disk = sr.disk("disk")
    disk.write(512, random.Random(1).randbytes(5 * MIB))
    disk.write(129 * MIB, random.Random(2).randbytes(MIB))
    save(tmp_path / "disk.vhd", disk)
    with open(tmp_path / "disk.raw", "wb") as file:
        file.writelines(raw.export(disk))
    assert (
        json.loads(qemu_img("info", "--output=json", vpc(tmp_path / "disk.vhd")))["virtual-size"] == 130 * MIB
    )
    assert "identical" in qemu_img(
        "compare", "-F", "raw", vpc(tmp_path / "disk.vhd"), str(tmp_path / "disk.raw")
    )


def test_a_vhd_made_by_qemu_is_imported(sr: Sr, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3 * MIB) + bytes(20 * MIB) + random.Random(2).randbytes(MIB)
    (tmp_path / "in.raw").write_bytes(content)
    arguments = ("-f", "raw", "-O", "vpc", "-o", "force_size=on", str(tmp_path / "in.raw"))
    qemu_img("convert", *arguments, str(tmp_path / "in.vhd"))
    sr.create_disk("disk", len(content))
    importer = vhd.VhdImport(sr.disk("disk"))
    importer.feed((tmp_path / "in.vhd").read_bytes())
    importer.finish()
    assert b"".join(raw.export(sr.disk("disk"))) == content
    assert sr.node("disk").physical_utilisation < 10 * MIB


def test_the_blocks_of_a_differencing_vhd_are_where_its_table_says(sr: Sr, tmp_path: Path) -> None:
    sr.create_disk("disk", 16 * MIB)
    disk = sr.disk("disk")
    disk.write(0, b"b" * 4 * MIB)
    sr.snapshot("disk", UUID, "base")
    disk.write(8 * MIB, b"n" * 2 * MIB)
    save(tmp_path / "delta.vhd", disk, UUID)
    stream = bytearray((tmp_path / "delta.vhd").read_bytes())
    footer = vhd_format.pack_footer(vhd_format.Footer(16 * MIB, vhd_format.DYNAMIC, UUID))
    stream[:512] = stream[-512:] = footer  # qemu knows no differencing disks
    (tmp_path / "delta.vhd").write_bytes(stream)
    qemu_img("convert", "-O", "raw", vpc(tmp_path / "delta.vhd"), str(tmp_path / "delta.raw"))
    assert (tmp_path / "delta.raw").read_bytes() == bytes(8 * MIB) + b"n" * 2 * MIB + bytes(6 * MIB)


@pytest.mark.parametrize("size", [2 * MIB, 10 * GIB, 127 * GIB, 1000 * GIB, 2040 * GIB])
def test_a_vhd_of_any_size_is_understood(sr: Sr, tmp_path: Path, size: int) -> None:
    sr.create_disk("disk", size)
    sr.disk("disk").write(size - 512, b"e" * 512)
    save(tmp_path / "disk.vhd", sr.disk("disk"))
    dump = tmp_path / "end.raw"
    qemu_img("dd", f"if={vpc(tmp_path / 'disk.vhd')}", f"of={dump}", "bs=512", f"skip={size // 512 - 1}")
    assert dump.read_bytes() == b"e" * 512


def save_qcow2(path: Path, disk: Disk, base: str | None = None) -> None:
    with open(path, "wb") as file:
        for piece in qcow2.export(disk, base):
            file.write(piece)


@pytest.mark.parametrize("size", [2 * MIB, 514 * MIB, 15000 * GIB])
def test_a_qcow2_passes_check_and_compares_equal(sr: Sr, tmp_path: Path, size: int) -> None:
    sr.create_disk("disk", size, "qcow2")
    disk = sr.disk("disk")
    disk.write(0, random.Random(1).randbytes(MIB))
    disk.write(size - 512, b"e" * 512)
    save_qcow2(tmp_path / "disk.qcow2", disk)
    image = str(tmp_path / "disk.qcow2")
    assert "No errors" in qemu_img("check", "-f", "qcow2", image)
    assert json.loads(qemu_img("info", "--output=json", image))["virtual-size"] == size
    if size < GIB:
        save(tmp_path / "disk.vhd", disk)
        assert "identical" in qemu_img("compare", "-f", "qcow2", image, vpc(tmp_path / "disk.vhd"))


def test_a_qcow2_delta_on_its_base_is_the_disk(sr: Sr, tmp_path: Path) -> None:
    sr.create_disk("disk", 16 * MIB)
    disk = sr.disk("disk")
    disk.write(0, b"b" * 4 * MIB)
    sr.snapshot("disk", "snapshot", "base")
    disk.write(3 * MIB, b"n" * 2 * MIB)
    disk.write(0, bytes(65536))
    save_qcow2(tmp_path / "base.qcow2", sr.disk("snapshot"))
    save_qcow2(tmp_path / "delta.qcow2", disk, "snapshot")
    qemu_img("rebase", "-u", "-b", str(tmp_path / "base.qcow2"), "-F", "qcow2", str(tmp_path / "delta.qcow2"))
    qemu_img("convert", "-O", "raw", str(tmp_path / "delta.qcow2"), str(tmp_path / "out.raw"))
    assert (tmp_path / "out.raw").read_bytes() == b"".join(raw.export(disk))


@pytest.mark.parametrize("options", ["compat=1.1", "compat=0.10", "cluster_size=4096", "cluster_size=2M"])
def test_a_qcow2_made_by_qemu_is_imported(sr: Sr, tmp_path: Path, options: str) -> None:
    content = random.Random(1).randbytes(3 * MIB) + bytes(20 * MIB) + random.Random(2).randbytes(MIB)
    (tmp_path / "in.raw").write_bytes(content)
    image = str(tmp_path / "in.qcow2")
    qemu_img("convert", "-f", "raw", "-O", "qcow2", "-o", options, str(tmp_path / "in.raw"), image)
    sr.create_disk("disk", len(content))
    importer = qcow2.Qcow2Import(sr.disk("disk"), tmp_path)
    importer.feed(Path(image).read_bytes())
    importer.finish()
    assert b"".join(raw.export(sr.disk("disk"))) == content
    assert sr.node("disk").physical_utilisation < 12 * MIB


@pytest.mark.parametrize("damage", ["garbage", "cut", "compressed", "too large"])
def test_a_qcow2_that_cannot_be_taken_is_refused(sr: Sr, tmp_path: Path, damage: str) -> None:
    (tmp_path / "in.raw").write_bytes(b"a" * 4 * MIB)
    image = str(tmp_path / "in.qcow2")
    compressed = ("-c",) if damage == "compressed" else ()
    qemu_img("convert", *compressed, "-f", "raw", "-O", "qcow2", str(tmp_path / "in.raw"), image)
    stream = Path(image).read_bytes()
    if damage == "garbage":
        stream = b"garbage!" * 100
    elif damage == "cut":
        stream = stream[:-MIB]
    sr.create_disk("disk", 2 * MIB if damage == "too large" else 4 * MIB)
    importer = qcow2.Qcow2Import(sr.disk("disk"), tmp_path)
    importer.feed(stream)
    with pytest.raises(BadImage):
        importer.finish()
