"""The harness measures what it says; how fast anything is, is not tested."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import zstandard

from services.chassis.errors import FailedPrecondition, Internal
from tests.bench import disks, tools
from tests.bench.__main__ import _work_folder, main
from tests.bench.contender import Disk
from tests.bench.course import Course, Samples, served
from tests.bench.process import Cost, run

SVG = "http://www.w3.org/2000/svg"


def _as_shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


@pytest.mark.timeout(600)  # half a minute of work, in dozens of processes that a busy machine lets wait
def test_a_small_run_reports_every_figure_of_those_who_took_part(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    main(["--gib", "0.0625", "--repeat", "1", "--disks", "dense,huge", "--report", str(report)])
    found = json.loads(report.read_text())
    took_part = {"xenkeep"} | {
        name.replace("-", "_") for name in tools.PEERS.keys() - found["skipped"].keys()
    }
    for step in ("full", "restore", "restore_cold"):
        for source in ("", "_raw_file"):
            peers = {who for who in ("restic", "borg", "qemu_img") if found[step][f"{who}{source}_mib_s"]}
            assert took_part == peers | {"xenkeep"}
        assert found[step]["xenkeep_running_mib_s"] > found[step]["xenkeep_mib_s"]
        if step != "restore_cold":
            assert found[step]["ratio_floor"] > 0
    assert 10 * disks.BLOCK == found["incremental"]["changed_bytes"]  # 1 % of 1024 blocks
    assert 1 <= found["incremental"]["read_amplification"]
    assert 0 < found["incremental"]["stored_bytes"] < found["full"]["stored_bytes"]["xenkeep"]
    assert 2 << 40 == found["no_change_2tib"]["disk_bytes"]
    for figure in ("verify_mib_s", "peak_rss_mib", "cpu_seconds_per_gib", "index_bytes_per_tib"):
        assert found[figure] > 0
    assert found["no_change_2tib"]["written_bytes"] > 0
    for step in ("incremental", "no_change_2tib"):
        assert 0 < found[step]["seconds"] < found[step]["seconds_cold"]
    assert found["prune_seconds"] > 0 and found["sparse"] is None
    left = {path.name for path in tmp_path.iterdir()}
    assert {"report.json", "chart.svg", "work.lock"} == left, "the disks are gone"
    said = [text.text for text in ElementTree.parse(tmp_path / "chart.svg").iter(f"{{{SVG}}}text")]
    assert "Xenkeep, running mover" in said
    for step in ("full", "restore", "restore_cold"):
        assert _as_shown(found[step]["xenkeep_mib_s"]) in said
    assert _as_shown(found["incremental"]["seconds"]) in said


def test_a_run_removes_what_a_killed_one_left_and_leaves_a_running_one_alone(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "left.img").write_bytes(b"left")
    with _work_folder(work) as folder:
        assert not list(folder.iterdir())
        with pytest.raises(FailedPrecondition, match="Another benchmark"), _work_folder(work):
            pass
    assert not work.exists()


def test_the_dense_disk_is_halved_by_zstd_and_has_no_two_chunks_alike(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    disks.dense(image, 4 * disks.MIB)
    content = image.read_bytes()
    assert 4 * disks.MIB == len(content)
    assert 1.9 < len(content) / len(zstandard.ZstdCompressor(level=1).compress(content)) < 2.2
    assert 64 == len({content[at : at + disks.BLOCK] for at in range(0, len(content), disks.BLOCK)})


def test_what_is_said_to_have_changed_has_and_nothing_else(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    disks.dense(image, 8 * disks.MIB)
    before = image.read_bytes()
    changed = disks.change(image, 0.05, seed=1)
    after = image.read_bytes()
    differing = {
        at
        for at in range(0, len(before), disks.BLOCK)
        if before[at : at + disks.BLOCK] != after[at : at + disks.BLOCK]
    }
    assert {extent.offset for extent in changed} == differing
    assert 6 == len(changed)


def test_the_sparse_disk_is_a_file_system_with_holes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    image = tmp_path / "disk.img"
    disks.sparse_file_system(image, 64 * disks.MIB, tree)
    run(["e2fsck", "-f", "-n", str(image)])
    extents = disks.data_extents(image)
    assert 0 < sum(extent.length for extent in extents) < 16 * disks.MIB
    content = image.read_bytes()
    for extent in reversed(extents):
        content = content[: extent.offset] + content[extent.end :]
    assert not content.strip(b"\0")


class Forger:
    """Is fast by restoring something else."""

    name = "forger"

    def __init__(self, home: Path) -> None:
        self.stored = home

    def full(self, disk: Disk) -> Cost:
        return Cost(0.001, 0.001, 1)

    def incremental(self, disk: Disk, changed: object) -> Cost:
        return Cost(0.001, 0.001, 1)

    def restore(self, folder: Path) -> Cost:
        self.restored(folder).write_bytes(bytes(disks.MIB))
        return Cost(0.001, 0.001, 1)

    def restored(self, folder: Path) -> Path:
        return folder / "disk.raw"


def test_nobody_is_fast_by_being_wrong(tmp_path: Path) -> None:
    image, scratch = tmp_path / "disk.img", tmp_path / "scratch"
    disks.dense(image, disks.MIB)
    scratch.mkdir()
    with served(image) as disk, pytest.raises(Internal, match="forger restored is not what it was given"):
        Course(scratch, {"forger": Forger}, Samples()).sparse(disk, 0)
    assert not list(scratch.iterdir())


def test_a_missing_peer_has_a_reason_and_a_missing_tool_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in tools.NEEDED:
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert {name: "it is not installed" for name in tools.PEERS} == tools.provide(install=False)
    (tmp_path / "nbdkit").unlink()
    with pytest.raises(FailedPrecondition, match="nbdkit"):
        tools.provide(install=False)


def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(Internal, match=r"ended with 3.*not today"):
        run(["sh", "-c", "echo not today >&2; exit 3"])
    with pytest.raises(Internal, match="its input with 4"):
        run(["cat"], fed_by=["sh", "-c", "echo something; exit 4"])


def test_the_cost_of_a_program_is_its_own() -> None:
    cost = run(["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"])
    assert cost.seconds > 0
    assert cost.peak_rss_bytes > 64 * disks.MIB
