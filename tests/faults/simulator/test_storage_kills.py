"""A simulator that is killed at any moment leaves an SR that goes on where it was."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.simulator.storage.layer import Layer
from services.simulator.storage.ports import BLOCK, Disk
from services.simulator.storage.sr import Sr
from services.simulator.storage.state import State

MIB = 1024 * 1024
SIZE = 8 * MIB

GUEST = """
import random, sys
from pathlib import Path
from services.simulator.storage.sr import Sr

sr = Sr.open(Path(sys.argv[1]))
chance = random.Random(int(sys.argv[2]))
disk = sr.disk("disk")
number = 0
while True:
    number += 1
    sector = chance.randrange(8 * 2048 - 64)
    disk.write(sector * 512, number.to_bytes(8, "big") * 64 * 8)
    print("write", number, sector, flush=True)
    if number % 20 == 0:
        sr.snapshot("disk", f"s{number}", f"b{number}")
        print("snapshot", number, 0, flush=True)
        if number > 100:
            sr.destroy(f"s{number - 100}")
        sr.coalesce_step()
        sr.coalesce_step()
"""


def contents(disk: Disk) -> bytes:
    buffer = bytearray(disk.virtual_size)
    disk.read_into(0, buffer)
    return bytes(buffer)


def named_files(folder: Path) -> set[str]:
    state = State.load(folder)
    layers = {f"{number}.{kind}" for number in state.layers() for kind in ("layer", "map")}
    return layers | {f"{number}.cbt" for number in state.log_files()} | {"sr.json"}


@pytest.mark.parametrize("seed", range(4))
def test_after_a_kill_every_acknowledged_write_is_there_and_tracked(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "sr"
    sr = Sr.create(folder, 1024 * MIB)
    sr.create_disk("disk", SIZE)
    sr.enable_cbt("disk")
    sr.snapshot("disk", "s0", "b0")
    del sr
    command = [sys.executable, "-c", GUEST, str(folder), str(seed)]
    guest = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    assert guest.stdout is not None
    expected, snapshot, since = bytearray(SIZE), b"", set[int]()
    lines = []
    for _ in range(random.Random(seed).randrange(150, 400)):
        lines.append(guest.stdout.readline())
    os.kill(guest.pid, signal.SIGKILL)
    lines += guest.communicate()[0].splitlines()
    last = 0
    for line in lines:
        kind, number, sector = line.split()
        if kind == "snapshot":
            last, snapshot, since = int(number), bytes(expected), set()
        else:
            begin = int(sector) * 512
            expected[begin : begin + 4096] = int(number).to_bytes(8, "big") * 512
            since |= {begin // BLOCK, (begin + 4095) // BLOCK}

    sr = Sr.open(folder)
    found = contents(sr.disk("disk"))
    unacknowledged = [at for at in range(0, SIZE, 512) if found[at : at + 512] != expected[at : at + 512]]
    assert unacknowledged == [] or unacknowledged[-1] - unacknowledged[0] < 4096
    if last:
        assert contents(sr.disk(f"s{last}")) == snapshot
        newer = [node.uuid for node in sr.nodes() if node.uuid == f"s{last + 20}"]
        told = base64.b64decode(sr.list_changed_blocks(f"s{last}", newer[0] if newer else "disk"))
        since |= {at // BLOCK for at in unacknowledged} if not newer else set()
        assert all(told[block // 8] & (0x80 >> block % 8) for block in since)
    assert {path.name for path in folder.iterdir()} - {"sr.json.new"} == named_files(folder)
    while sr.coalesce_step():
        pass
    assert contents(sr.disk("disk")) == found


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the product catches it."""


Step = Callable[[Sr], object]


def destroy_and_coalesce(sr: Sr) -> None:
    sr.destroy("s1")
    sr.coalesce_step()


STEPS: dict[str, Step] = {
    "create": lambda sr: sr.create_disk("new", SIZE),
    "snapshot": lambda sr: sr.snapshot("disk", "new", "new-base"),
    "clone": lambda sr: sr.clone("s1", "new", "new-base"),
    "revert": lambda sr: sr.revert("disk", "s1", "new-base"),
    "resize": lambda sr: sr.resize("disk", 2 * SIZE),
    "destroy": lambda sr: sr.destroy("s2"),
    "data_destroy": lambda sr: sr.data_destroy("s2"),
    "disable_cbt": lambda sr: sr.disable_cbt("disk"),
    "coalesce": destroy_and_coalesce,
}


@pytest.mark.parametrize("moment", ["before the save", "after the save", "while copying"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_inside_a_step_the_old_or_the_new_state_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    folder = tmp_path / "sr"
    sr = Sr.create(folder, 1024 * MIB)
    sr.create_disk("disk", SIZE)
    sr.enable_cbt("disk")
    for number in (1, 2):
        sr.disk("disk").write(number * BLOCK, bytes([number]) * 3 * BLOCK)
        sr.snapshot("disk", f"s{number}", f"b{number}")
    sr.disk("disk").write(7 * BLOCK, b"7" * 512)
    expected = {uuid: contents(sr.disk(uuid)) for uuid in ("disk", "s1", "s2")}
    before = State.load(folder)
    save, take_blocks = State.save, Layer.take_blocks

    def killed_save(self: State, where: Path) -> None:
        if moment == "after the save":
            save(self, where)
        raise Killed

    def killed_copy(self: Layer, source: Layer, first: int, stop: int) -> None:
        take_blocks(self, source, first, stop - 1)
        raise Killed

    with monkeypatch.context() as patch:
        # What a killed process does not do any more: clean up after itself.
        patch.setattr(Layer, "remove", staticmethod(lambda folder, number: None))
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        if moment == "while copying":
            patch.setattr(Layer, "take_blocks", killed_copy)
        else:
            patch.setattr(State, "save", killed_save)
        try:
            STEPS[step](sr)
        except Killed:
            pass
        else:
            assert moment == "while copying"

    again = Sr.open(folder)
    if moment == "before the save":
        assert State.load(folder) == before
    assert {path.name for path in folder.iterdir()} - {"sr.json.new"} == named_files(folder)
    left = [node.uuid for node in again.nodes() if not node.hidden and not node.metadata_only]
    for uuid in left:
        size = len(expected.get(uuid, b""))
        same = contents(again.disk(uuid))[:size] == expected.get(uuid, b"")
        assert same or (uuid, step) == ("disk", "revert")
    assert "disk" in left
    while again.coalesce_step():
        pass
    assert contents(again.disk("disk"))[:SIZE] in (expected["disk"], expected["s1"])
    if step not in ("revert", "disable_cbt") and "s1" in left:
        told = base64.b64decode(again.list_changed_blocks("s1", "disk"))
        assert told[0] & 0b00111001 == 0b00111001  # blocks 2, 3, 4 by the second write, 7 by the third
