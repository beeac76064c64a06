"""Disks of a simulated SR: chains, space, images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.simulator.storage.errors import (
    BadSize,
    ChainTooLong,
    DiskExists,
    DiskMissing,
    NoSpace,
    OutOfRange,
)
from services.simulator.storage.ports import BLOCK, Disk, Extent, StorageRepository
from services.simulator.storage.sr import Sr

MIB = 1024 * 1024
GIB = 1024 * MIB


@pytest.fixture
def sr(tmp_path: Path) -> Sr:
    return Sr.create(tmp_path / "sr", GIB)


def contents(disk: Disk) -> bytes:
    buffer = bytearray(disk.virtual_size)
    disk.read_into(0, buffer)
    return bytes(buffer)


def test_the_real_thing_fulfils_the_port(sr: Sr) -> None:
    port: StorageRepository = sr
    assert port.nodes() == []


def test_a_new_disk_reads_as_zero_and_is_rounded_up_to_two_mebibytes(sr: Sr) -> None:
    node = sr.create_disk("a", 3 * MIB)
    assert node.virtual_size == 4 * MIB
    assert bytes(4 * MIB) == contents(sr.disk("a"))
    assert node.physical_utilisation < 64 * 1024


@pytest.mark.parametrize("size", [-1, 2040 * GIB + 1])
def test_a_size_no_vhd_can_hold_is_refused(sr: Sr, size: int) -> None:
    with pytest.raises(BadSize) as raised:
        sr.create_disk("a", size)
    assert raised.value.code == "SR_BACKEND_FAILURE_79"


def test_a_disk_of_the_largest_size_costs_nothing(sr: Sr) -> None:
    node = sr.create_disk("a", 2040 * GIB)
    sr.disk("a").write(2040 * GIB - 512, b"x" * 512)
    assert node.virtual_size == 2040 * GIB
    assert sr.usage().physical_utilisation < 8 * MIB


def test_a_qcow2_disk_may_be_larger_and_its_format_is_inherited(sr: Sr) -> None:
    sr.create_disk("a", 16381 * GIB, "qcow2")
    disk = sr.disk("a")
    disk.write(16381 * GIB - 512, b"x" * 512)
    sr.snapshot("a", "s", "base")
    assert {node.image_format for node in sr.nodes()} == {"qcow2"}
    assert [e.data for e in sr.disk("s").extents()] == [False, True]


def test_a_uuid_is_given_once(sr: Sr) -> None:
    sr.create_disk("a", MIB)
    with pytest.raises(DiskExists):
        sr.create_disk("a", MIB)


def test_unaligned_and_outlying_accesses_are_refused(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    for offset, length in [(1, 512), (0, 100), (2 * MIB, 512), (2 * MIB - 512, 1024), (-512, 512)]:
        with pytest.raises(OutOfRange):
            disk.write(offset, bytes(length))
        with pytest.raises(OutOfRange):
            disk.read_into(offset, bytearray(length))


def test_a_partial_write_keeps_the_rest_of_the_block_below(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    disk.write(0, b"\x11" * 2 * BLOCK)
    sr.snapshot("a", "s", "base")
    disk.write(BLOCK - 512, b"\x22" * 1024)
    assert contents(disk)[: 2 * BLOCK] == b"\x11" * (BLOCK - 512) + b"\x22" * 1024 + b"\x11" * (BLOCK - 512)
    assert contents(sr.disk("s"))[: 2 * BLOCK] == b"\x11" * 2 * BLOCK


def test_a_snapshot_makes_a_hidden_parent_and_two_small_leaves(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    sr.disk("a").write(0, b"x" * MIB)
    sr.snapshot("a", "s", "base")
    base, live, snapshot = sr.node("base"), sr.node("a"), sr.node("s")
    assert (base.hidden, base.parent, base.chain_length) == (True, None, 1)
    assert (live.parent, snapshot.parent, snapshot.chain_length) == ("base", "base", 2)
    assert base.physical_utilisation > MIB
    assert snapshot.physical_utilisation < BLOCK
    with pytest.raises(DiskMissing):
        sr.disk("base")


def test_a_snapshot_of_an_unchanged_disk_shares_its_parent(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    sr.disk("a").write(0, b"x" * MIB)
    sr.snapshot("a", "s1", "base1")
    sr.snapshot("a", "s2", "base2")
    assert sr.node("s2").parent == "base1"
    assert {"a", "s1", "s2", "base1"} == {node.uuid for node in sr.nodes()}


def test_a_chain_has_an_end(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    for number in range(29):
        disk.write(0, bytes([number]) * 512)
        sr.snapshot("a", f"s{number}", f"b{number}")
    disk.write(0, b"x" * 512)
    with pytest.raises(ChainTooLong):
        sr.snapshot("a", "s30", "b30")


def test_a_full_sr_refuses_a_write_and_changes_nothing(tmp_path: Path) -> None:
    sr = Sr.create(tmp_path / "sr", MIB)
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    disk.write(0, b"1" * 512 * 1024)
    with pytest.raises(NoSpace) as raised:
        disk.write(256 * 1024, b"2" * MIB)
    assert raised.value.code == "SR_BACKEND_FAILURE_44"
    assert b"1" * 512 * 1024 + bytes(2 * MIB - 512 * 1024) == contents(disk)
    disk.write(0, b"3" * 512 * 1024)


def test_destroying_gives_the_space_back(sr: Sr) -> None:
    before = sr.usage()
    sr.create_disk("a", 4 * MIB)
    disk = sr.disk("a")
    disk.write(0, b"x" * MIB)
    sr.destroy("a")
    assert before == sr.usage()
    with pytest.raises(DiskMissing):
        disk.read_into(0, bytearray(512))


def test_a_refused_snapshot_leaves_no_files_behind(tmp_path: Path) -> None:
    sr = Sr.create(tmp_path / "sr", 4096)
    sr.create_disk("a", 2 * MIB)
    files = sorted((tmp_path / "sr").iterdir())
    with pytest.raises(NoSpace):
        sr.snapshot("a", "s", "base")
    assert files == sorted((tmp_path / "sr").iterdir())
    assert [node.uuid for node in sr.nodes()] == ["a"]


def test_a_disk_can_grow_and_not_shrink(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    disk.write(0, b"x" * 2 * MIB)
    sr.snapshot("a", "s", "base")
    sr.resize("a", 3 * MIB)
    disk.write(4 * MIB - 512, b"y" * 512)
    assert b"x" * 2 * MIB + bytes(2 * MIB - 512) + b"y" * 512 == contents(disk)
    assert sr.disk("s").virtual_size == 2 * MIB
    with pytest.raises(BadSize):
        sr.resize("a", 2 * MIB)


def test_an_image_is_imported_without_its_holes(sr: Sr, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    with open(image, "wb") as file:
        file.truncate(20 * GIB + 512)
        os.pwrite(file.fileno(), b"head" * 128, 0)
        os.pwrite(file.fileno(), b"tail" * 128, 20 * GIB)
    node = sr.import_image("a", image)
    assert node.virtual_size == 20 * GIB + 2 * MIB
    assert 2 * BLOCK < node.physical_utilisation < MIB
    buffer = bytearray(1024)
    sr.disk("a").read_into(20 * GIB, buffer)
    assert b"tail" * 128 + bytes(512) == buffer


def test_an_image_that_does_not_fit_leaves_no_disk(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"x" * 4 * MIB)
    sr = Sr.create(tmp_path / "sr", 2 * MIB)
    with pytest.raises(NoSpace):
        sr.import_image("a", image)
    assert sr.nodes() == []
    assert sr.usage().physical_utilisation == 0


def test_extents_tell_what_was_ever_written(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    disk.write(BLOCK, b"x" * 512)
    sr.snapshot("a", "s", "base")
    disk.write(2 * BLOCK, bytes(BLOCK))
    expected = [
        Extent(0, BLOCK, False),
        Extent(BLOCK, 2 * BLOCK, True),
        Extent(3 * BLOCK, 2 * MIB - 3 * BLOCK, False),
    ]
    assert expected == list(disk.extents())
    assert [Extent(BLOCK + 512, 512, True)] == list(disk.extents(BLOCK + 512, 512))
    assert [(e.offset, e.length) for e in disk.differences("s") if e.data] == [(2 * BLOCK, BLOCK)]


def test_zeroing_touches_only_what_was_written(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    disk.write(BLOCK, b"x" * BLOCK)
    used = sr.usage().physical_utilisation
    disk.write_zeroes(0, 2 * MIB)
    assert bytes(2 * MIB) == contents(disk)
    assert used == sr.usage().physical_utilisation


def test_a_copy_shares_nothing_and_takes_only_data(sr: Sr, tmp_path: Path) -> None:
    other = Sr.create(tmp_path / "other", GIB)
    sr.create_disk("a", 16 * MIB)
    disk = sr.disk("a")
    disk.write(0, b"x" * MIB)
    sr.snapshot("a", "s", "base")
    disk.write(8 * MIB, b"y" * BLOCK)
    seen: list[float] = []
    other_node = sr.copy("a", other, "copy", progress=seen.append)
    assert contents(disk) == contents(other.disk("copy"))
    assert (other_node.parent, other_node.physical_utilisation // BLOCK * BLOCK) == (None, MIB + BLOCK)
    assert sorted(seen) == seen
    sr.copy("s", other, "delta")
    sr.copy("a", other, "delta", base="s")
    assert contents(disk) == contents(other.disk("delta"))


def test_a_copy_that_is_cancelled_leaves_no_disk(sr: Sr) -> None:
    def cancel(_: float) -> None:
        raise InterruptedError

    sr.create_disk("a", 2 * MIB)
    sr.disk("a").write(0, b"x" * 512)
    with pytest.raises(InterruptedError):
        sr.copy("a", sr, "copy", progress=cancel)
    assert [node.uuid for node in sr.nodes()] == ["a"]


def test_a_copy_into_a_smaller_disk_is_refused(sr: Sr) -> None:
    sr.create_disk("a", 4 * MIB)
    sr.create_disk("small", 2 * MIB)
    with pytest.raises(BadSize):
        sr.copy("a", sr, "small")


def test_a_reverted_disk_reads_as_its_snapshot(sr: Sr) -> None:
    sr.create_disk("a", 2 * MIB)
    disk = sr.disk("a")
    disk.write(0, b"before" * 256 + b"-" * 512)
    sr.enable_cbt("a")
    sr.snapshot("a", "s", "base")
    then = contents(disk)
    disk.write(0, b"after." * 256 + b"-" * 512)
    node = sr.revert("a", "s", "base2")
    assert then == contents(disk) == contents(sr.disk("s"))
    assert (node.cbt_enabled, sr.node("s").cbt_enabled) == (False, True)
    disk.write(0, b"z" * 512)
    assert then == contents(sr.disk("s"))


Change = Callable[[Sr], object]


@pytest.mark.parametrize(
    "unknown",
    [
        lambda sr: sr.disk("no"),
        lambda sr: sr.node("no"),
        lambda sr: sr.destroy("no"),
        lambda sr: sr.snapshot("no", "x", "y"),
        lambda sr: sr.enable_cbt("no"),
        lambda sr: sr.activate("no"),
        lambda sr: sr.resize("no", GIB),
        lambda sr: sr.data_destroy("no"),
        lambda sr: sr.revert("no", "no", "x"),
        lambda sr: sr.copy("no", sr, "x"),
    ],
)
def test_an_unknown_disk_is_missing_everywhere(sr: Sr, unknown: Change) -> None:
    with pytest.raises(DiskMissing):
        unknown(sr)
