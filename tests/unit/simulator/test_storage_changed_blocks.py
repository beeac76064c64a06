"""Changed-block tracking: what is reported, how it is lost, how it is kept."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from services.simulator.storage.errors import ChangedBlocksUnknown, DiskMissing
from services.simulator.storage.ports import BLOCK
from services.simulator.storage.sr import Sr

MIB = 1024 * 1024


@pytest.fixture
def sr(tmp_path: Path) -> Sr:
    made = Sr.create(tmp_path / "sr", 1024 * MIB)
    made.create_disk("a", 4 * MIB)
    made.enable_cbt("a")
    return made


def write(sr: Sr, *blocks: int) -> None:
    for block in blocks:
        sr.disk("a").write(block * BLOCK + 512, bytes([block]) * 512)


def changed(sr: Sr, old: str, new: str) -> set[int]:
    raw = base64.b64decode(sr.list_changed_blocks(old, new))
    assert sr.node(new).virtual_size // BLOCK == len(raw) * 8
    return {block for block in range(len(raw) * 8) if raw[block // 8] & (0x80 >> block % 8)}


def test_block_zero_is_the_most_significant_bit(sr: Sr) -> None:
    sr.snapshot("a", "s1", "b1")
    write(sr, 0, 9)
    sr.snapshot("a", "s2", "b2")
    assert bytes([0x80, 0x40, 0, 0, 0, 0, 0, 0]) == base64.b64decode(sr.list_changed_blocks("s1", "s2"))


def test_changes_add_up_along_the_chain_of_snapshots(sr: Sr) -> None:
    write(sr, 1)
    sr.snapshot("a", "s1", "b1")
    write(sr, 2, 3)
    sr.snapshot("a", "s2", "b2")
    write(sr, 3, 60)
    sr.snapshot("a", "s3", "b3")
    write(sr, 5)
    assert {2, 3} == changed(sr, "s1", "s2")
    assert {3, 60} == changed(sr, "s2", "s3")
    assert {2, 3, 60} == changed(sr, "s1", "s3")
    assert {2, 3, 5, 60} == changed(sr, "s1", "a")


def test_a_write_over_a_block_border_marks_both(sr: Sr) -> None:
    sr.snapshot("a", "s1", "b1")
    sr.disk("a").write(2 * BLOCK - 512, b"x" * 1024)
    assert {1, 2} == changed(sr, "s1", "a")


@pytest.mark.parametrize(("old", "new"), [("s2", "s1"), ("s1", "s1"), ("s1", "c"), ("c", "s1"), ("x", "s1")])
def test_what_cannot_be_compared_fails_with_460(sr: Sr, old: str, new: str) -> None:
    sr.snapshot("a", "s1", "b1")
    write(sr, 1)
    sr.snapshot("a", "s2", "b2")
    sr.clone("a", "c", "b3")
    with pytest.raises(ChangedBlocksUnknown) as raised:
        sr.list_changed_blocks(old, new)
    expected = (
        "",
        "Failed to calculate changed blocks for given VDIs [opterr=Source and target VDI are unrelated]",
        "",
    )
    assert ("SR_BACKEND_FAILURE_460", expected) == (raised.value.code, raised.value.params)


def test_data_destroy_keeps_the_log_only(sr: Sr) -> None:
    write(sr, 0)
    sr.snapshot("a", "s1", "b1")
    write(sr, 7)
    sr.snapshot("a", "s2", "b2")
    sr.data_destroy("s1")
    node = sr.node("s1")
    assert (
        node.metadata_only,
        node.parent,
        node.physical_utilisation,
        node.cbt_enabled,
    ) == (True, None, 0, True)
    assert {7} == changed(sr, "s1", "s2")
    with pytest.raises(DiskMissing):
        sr.disk("s1")


def test_destroying_a_middle_log_keeps_older_comparisons_right(sr: Sr) -> None:
    sr.snapshot("a", "s1", "b1")
    write(sr, 1)
    sr.snapshot("a", "s2", "b2")
    write(sr, 2)
    sr.snapshot("a", "s3", "b3")
    sr.data_destroy("s2")
    sr.destroy("s2")
    assert {1, 2} == changed(sr, "s1", "s3")


def test_disabling_breaks_the_chain_at_the_leaf_only(sr: Sr) -> None:
    sr.snapshot("a", "s1", "b1")
    write(sr, 1)
    sr.snapshot("a", "s2", "b2")
    sr.disable_cbt("a")
    sr.enable_cbt("a")
    write(sr, 2)
    sr.snapshot("a", "s3", "b3")
    assert {1} == changed(sr, "s1", "s2")
    with pytest.raises(ChangedBlocksUnknown):
        sr.list_changed_blocks("s2", "s3")


def test_enabling_twice_keeps_the_log(sr: Sr) -> None:
    sr.snapshot("a", "s1", "b1")
    write(sr, 1)
    sr.enable_cbt("a")
    assert {1} == changed(sr, "s1", "a")


def test_a_crash_while_attached_drops_the_log_at_the_next_attachment(sr: Sr) -> None:
    assert sr.activate("a")
    sr.deactivate("a")
    assert sr.activate("a")
    sr.snapshot("a", "s1", "b1")
    assert not sr.activate("a")
    assert (sr.node("a").cbt_enabled, sr.node("s1").cbt_enabled) == (False, True)
    assert sr.activate("a")


def test_blocks_added_by_a_resize_are_unchanged_until_written(sr: Sr) -> None:
    sr.snapshot("a", "s1", "b1")
    write(sr, 1)
    sr.snapshot("a", "s2", "b2")
    sr.resize("a", 8 * MIB)
    write(sr, 100)
    sr.snapshot("a", "s3", "b3")
    assert {1, 100} == changed(sr, "s1", "s3")


def test_a_clone_and_a_copy_have_no_log(sr: Sr) -> None:
    sr.clone("a", "c", "b1")
    sr.copy("a", sr, "d")
    assert [sr.node(uuid).cbt_enabled for uuid in ("c", "d", "a")] == [False, False, True]


def test_logs_survive_the_end_of_the_process(sr: Sr, tmp_path: Path) -> None:
    sr.snapshot("a", "s1", "b1")
    write(sr, 1)
    again = Sr.open(tmp_path / "sr")
    again.disk("a").write(2 * BLOCK, b"x" * 512)
    again.snapshot("a", "s2", "b2")
    assert {1, 2} == changed(again, "s1", "s2")
