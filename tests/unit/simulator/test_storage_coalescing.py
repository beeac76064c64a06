"""Chains get shorter without anybody noticing, writers and snapshots included."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from services.simulator.storage.errors import NoSpace
from services.simulator.storage.layer import Layer
from services.simulator.storage.ports import BLOCK, Disk
from services.simulator.storage.sr import Sr

MIB = 1024 * 1024


def write_seeded(disk: Disk, seed: int, blocks: Iterable[int]) -> None:
    for block in blocks:
        disk.write(block * BLOCK, random.Random(f"{seed}:{block}").randbytes(BLOCK))


def contents(disk: Disk) -> bytes:
    buffer = bytearray(disk.virtual_size)
    disk.read_into(0, buffer)
    return bytes(buffer)


def snapshots(sr: Sr, count: int, size: int = 4 * MIB) -> None:
    sr.create_disk("disk", size)
    for number in range(count):
        write_seeded(sr.disk("disk"), number, [number, number + 1])
        sr.snapshot("disk", f"s{number}", f"b{number}")


def finish(sr: Sr) -> int:
    steps = 0
    while sr.coalesce_step():
        steps += 1
    return steps


@pytest.fixture
def sr(tmp_path: Path) -> Sr:
    return Sr.create(tmp_path / "sr", 1024 * MIB)


def test_nothing_happens_while_every_snapshot_is_needed(sr: Sr) -> None:
    snapshots(sr, 3)
    write_seeded(sr.disk("disk"), 9, [9])
    assert finish(sr) == 0
    assert sr.node("s0").chain_length == 2


def test_a_destroyed_snapshot_lets_its_base_be_merged(sr: Sr) -> None:
    snapshots(sr, 3)
    disk = sr.disk("disk")
    before, used = contents(disk), sr.usage().physical_utilisation
    for number in range(3):
        sr.destroy(f"s{number}")
    finish(sr)
    assert [node.uuid for node in sr.nodes()] == ["disk"]
    assert (contents(disk), sr.node("disk").chain_length) == (before, 1)
    assert sr.usage().physical_utilisation < used
    disk.write(0, b"x" * 512)
    assert contents(disk) == b"x" * 512 + before[512:]


def test_the_data_of_a_destroyed_disk_is_freed(sr: Sr) -> None:
    snapshots(sr, 2)
    for uuid in ("disk", "s0", "s1"):
        sr.destroy(uuid)
    finish(sr)
    assert (sr.nodes(), sr.usage().physical_utilisation) == ([], 0)


def test_a_full_sr_cannot_merge_and_loses_nothing(tmp_path: Path) -> None:
    sr = Sr.create(tmp_path / "sr", 4 * BLOCK)
    sr.create_disk("disk", 2 * MIB)
    sr.disk("disk").write(0, b"a" * BLOCK)
    sr.snapshot("disk", "s", "b")
    sr.disk("disk").write(BLOCK, b"b" * 2 * BLOCK)
    sr.destroy("s")
    with pytest.raises(NoSpace):
        sr.coalesce_step()
    assert sr.coalescing() is None
    assert contents(sr.disk("disk"))[: 3 * BLOCK] == b"a" * BLOCK + b"b" * 2 * BLOCK


def test_a_grown_disk_is_merged_into_its_smaller_parent(sr: Sr) -> None:
    snapshots(sr, 1, 2 * MIB)
    sr.resize("disk", 8 * MIB)
    disk = sr.disk("disk")
    disk.write(8 * MIB - 512, b"e" * 512)
    before = contents(disk)
    sr.destroy("s0")
    finish(sr)
    assert (contents(disk), sr.node("disk").virtual_size) == (before, 8 * MIB)
    assert contents(Sr.open(sr._folder).disk("disk")) == before


@pytest.mark.parametrize("seed", range(2))
def test_a_disk_is_written_and_snapshotted_while_it_is_merged(sr: Sr, seed: int) -> None:
    """A guest that counts in every block must never see a block go back, nor a snapshot change."""
    blocks = 128
    sr.create_disk("disk", blocks * BLOCK)
    disk = sr.disk("disk")
    written = dict.fromkeys(range(blocks), 0)
    stop = threading.Event()

    def guest() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            block = (turn * 37 + seed) % blocks
            disk.write(block * BLOCK + 512 * (turn % 64), turn.to_bytes(8, "big") * 64)
            written[block] = turn

    def last_write(data: bytes, block: int) -> int:
        part = data[block * BLOCK : (block + 1) * BLOCK]
        return max(int.from_bytes(part[at : at + 8], "big") for at in range(0, BLOCK, 512))

    thread = threading.Thread(target=guest)
    thread.start()
    kept: list[tuple[str, bytes]] = []
    try:
        for number in range(12):
            floor = dict(written)
            sr.snapshot("disk", f"s{number}", f"b{number}")
            data = contents(sr.disk(f"s{number}"))
            assert all(last_write(data, block) >= turn for block, turn in floor.items())
            if number % 3 == 0:
                kept.append((f"s{number}", data))
            else:
                sr.destroy(f"s{number}")
            finish(sr)
    finally:
        stop.set()
        thread.join()
    assert [contents(sr.disk(uuid)) for uuid, _ in kept] == [data for _, data in kept]
    data = contents(disk)
    assert {block: last_write(data, block) for block in range(blocks)} == written
    assert contents(Sr.open(sr._folder).disk("disk")) == data


def take_snapshot(sr: Sr) -> None:
    sr.snapshot("disk", "meanwhile", "b-meanwhile")
    write_seeded(sr.disk("disk"), 77, range(84))  # more than may wait for the pause


def clone_and_write(sr: Sr) -> None:
    sr.clone("disk", "meanwhile", "b-meanwhile")
    write_seeded(sr.disk("disk"), 78, range(84))
    write_seeded(sr.disk("meanwhile"), 79, range(50))


def revert_and_write(sr: Sr) -> None:
    sr.revert("disk", "s0", "b-meanwhile")
    write_seeded(sr.disk("disk"), 80, range(84))


def only_write(sr: Sr) -> None:
    write_seeded(sr.disk("disk"), 81, range(84))


@pytest.mark.parametrize("meanwhile", [take_snapshot, clone_and_write, revert_and_write, only_write])
def test_whatever_happens_during_a_merge_every_disk_keeps_its_contents(
    sr: Sr, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Sr], None]
) -> None:
    snapshots(sr, 3, 8 * MIB)
    write_seeded(sr.disk("disk"), 9, [9, 11])
    sr.destroy("s2")
    expected: dict[str, bytes] = {}
    take_blocks = Layer.take_blocks

    def interrupted(self: Layer, source: Layer, first: int, stop: int) -> None:
        take_blocks(self, source, first, stop)
        if not expected:
            meanwhile(sr)
            visible = [node.uuid for node in sr.nodes() if not node.hidden]
            expected.update((uuid, contents(sr.disk(uuid))) for uuid in visible)

    monkeypatch.setattr(Layer, "take_blocks", interrupted)
    finish(sr)
    assert {uuid: contents(sr.disk(uuid)) for uuid in expected} == expected
    again = Sr.open(sr._folder)
    assert {uuid: contents(again.disk(uuid)) for uuid in expected} == expected


def test_a_disk_destroyed_during_its_merge_is_gone_and_so_is_its_data(
    sr: Sr, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots(sr, 1)
    write_seeded(sr.disk("disk"), 9, [9])
    sr.destroy("s0")
    take_blocks = Layer.take_blocks

    def interrupted(self: Layer, source: Layer, first: int, stop: int) -> None:
        take_blocks(self, source, first, stop)
        sr.destroy("disk")

    monkeypatch.setattr(Layer, "take_blocks", interrupted)
    finish(sr)
    assert (sr.nodes(), sr.usage().physical_utilisation) == ([], 0)
