"""Whatever is done to the disks of an SR, each reads as a plain byte string would."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.simulator.storage.ports import BLOCK, SECTOR
from services.simulator.storage.sr import Sr

SIZE = 2 * 1024 * 1024
SECTORS = SIZE // SECTOR
TINY = 200


class Disks(RuleBasedStateMachine):
    """Random life of disks next to a model of their contents and of what changed since each snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "sr"
        self.sr = Sr.create(self.path, 1024 * 1024 * 1024)
        self.sr.create_disk("live", SIZE)
        self.sr.enable_cbt("live")
        self.model: dict[str, bytearray] = {"live": bytearray(SIZE)}
        self.line: list[str] = []  # snapshots of "live" that can be compared, oldest first
        self.count = 0

    def teardown(self) -> None:
        del self.sr
        self._folder.cleanup()

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def pick(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model)))

    @rule(
        data=st.data(),
        sector=st.integers(0, SECTORS - 1),
        length=st.integers(1, TINY),
        fill=st.integers(0, 255),
    )
    def write(self, data: st.DataObject, sector: int, length: int, fill: int) -> None:
        uuid = self.pick(data)
        begin, end = sector * SECTOR, min(SIZE, (sector + length) * SECTOR)
        if uuid not in self.line:
            self.sr.disk(uuid).write(begin, bytes([fill]) * (end - begin))
            self.model[uuid][begin:end] = bytes([fill]) * (end - begin)

    @rule(data=st.data(), sector=st.integers(0, SECTORS - 1), length=st.integers(1, TINY))
    def zero(self, data: st.DataObject, sector: int, length: int) -> None:
        uuid = self.pick(data)
        begin, end = sector * SECTOR, min(SIZE, (sector + length) * SECTOR)
        if uuid not in self.line:
            self.sr.disk(uuid).write_zeroes(begin, end - begin)
            self.model[uuid][begin:end] = bytes(end - begin)

    @rule()
    def snapshot_live(self) -> None:
        uuid = self.name("snapshot")
        self.sr.snapshot("live", uuid, self.name("base"))
        self.model[uuid] = bytearray(self.model["live"])
        self.line.append(uuid)

    @rule(data=st.data())
    def clone(self, data: st.DataObject) -> None:
        uuid, source = self.name("clone"), self.pick(data)
        self.sr.clone(source, uuid, self.name("base"))
        self.model[uuid] = bytearray(self.model[source])

    @rule(data=st.data())
    def copy(self, data: st.DataObject) -> None:
        uuid, source = self.name("copy"), self.pick(data)
        self.sr.copy(source, self.sr, uuid)
        self.model[uuid] = bytearray(self.model[source])

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        uuid = data.draw(st.sampled_from(self.line))
        self.sr.revert("live", uuid, self.name("base"))
        self.model["live"] = bytearray(self.model[uuid])
        self.sr.enable_cbt("live")
        for old in self.line:
            self.sr.destroy(old)
            del self.model[old]
        self.line.clear()

    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        uuid = self.pick(data)
        if uuid != "live":
            self.sr.destroy(uuid)
            del self.model[uuid]
            self.line = [other for other in self.line if other != uuid]

    @rule()
    def coalesce(self) -> None:
        self.sr.coalesce_step()

    @rule()
    def restart(self) -> None:
        self.sr = Sr.open(self.path)

    @invariant()
    def disks_read_as_their_models(self) -> None:
        for uuid, expected in self.model.items():
            buffer = bytearray(SIZE)
            self.sr.disk(uuid).read_into(0, buffer)
            assert expected == buffer, uuid

    @invariant()
    def no_difference_is_missed(self) -> None:
        if not self.line:
            return
        for newer in [*self.line[1:], "live"]:
            bitmap = base64.b64decode(self.sr.list_changed_blocks(self.line[0], newer))
            differences = list(self.sr.disk(newer).differences(self.line[0]))
            assert sum(extent.length for extent in differences) == SIZE
            told = {
                block
                for extent in differences
                if extent.data
                for block in range(extent.offset // BLOCK, (extent.offset + extent.length) // BLOCK)
            }
            for block in range(SIZE // BLOCK):
                part = slice(block * BLOCK, (block + 1) * BLOCK)
                if self.model[self.line[0]][part] != self.model[newer][part]:
                    assert bitmap[block // 8] & (0x80 >> block % 8), (newer, block)
                    assert block in told

    @invariant()
    def the_space_is_that_of_the_nodes(self) -> None:
        nodes = self.sr.nodes()
        assert self.sr.usage().physical_utilisation == sum(node.physical_utilisation for node in nodes)


def test_disks_behave_like_byte_strings() -> None:
    run_state_machine_as_test(
        Disks, settings=settings(max_examples=20, stateful_step_count=30, deadline=None)
    )
