"""The files of a storage repository and the disks that are open on them."""

from __future__ import annotations

import contextlib
import re
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from services.simulator.storage.block_map import BlockMap
from services.simulator.storage.disk import Chain, CowDisk
from services.simulator.storage.errors import DiskMissing
from services.simulator.storage.layer import Layer, map_path
from services.simulator.storage.ports import BLOCK
from services.simulator.storage.space import Space, overhead
from services.simulator.storage.state import State

_NUMBERED = re.compile(r"(\d+)\.(layer|map|cbt)")


def log_path(folder: Path, file: int) -> Path:
    """Map of the blocks a changed-block log has seen."""
    return folder / f"{file}.cbt"


class Store:
    """State, files and open disks of one SR.

    `_lock` guards the state and comes before any disk's lock. A change is made on a copy of the state, with
    new files made first, and happens when the copy is saved. Files that no saved state names are rubbish.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = State.load(folder)
        self._merge_lock = threading.Lock()  # held during merges, and by what they cannot bear; before _lock
        self._lock = threading.RLock()
        self._layers: weakref.WeakValueDictionary[int, Layer] = weakref.WeakValueDictionary()
        self._logs: weakref.WeakValueDictionary[int, BlockMap] = weakref.WeakValueDictionary()
        self._disks: weakref.WeakValueDictionary[str, CowDisk] = weakref.WeakValueDictionary()
        self._sweep(self._state)
        self._space = Space(self._state.physical_size, self._measure())

    def _measure(self) -> dict[int, int]:
        used = {}
        for node in self._state.nodes.values():
            if node.layer is not None:
                written = BlockMap(map_path(self._folder, node.layer)).count()
                used[node.layer] = overhead(node.virtual_size, node.image_format) + written * BLOCK
        return used

    def _sweep(self, state: State) -> None:
        layers, logs = state.layers(), state.log_files()
        for path in self._folder.iterdir():
            match = _NUMBERED.fullmatch(path.name)
            if match and int(match[1]) not in (logs if match[2] == "cbt" else layers):
                path.unlink()

    def _commit(self, state: State) -> None:
        """Make `state` the truth, let open disks follow, and remove what it no longer names."""
        state.save(self._folder)
        before, self._state = self._state, state
        for uuid, disk in list(self._disks.items()):
            self._follow(uuid, disk)
        for number in before.layers() - state.layers():
            self._remove_layer(number)
        for file in before.log_files() - state.log_files():
            log_path(self._folder, file).unlink(missing_ok=True)

    def _follow(self, uuid: str, disk: CowDisk) -> None:
        try:
            node = self._state.disk(uuid)
        except DiskMissing:
            disk.retire()
            del self._disks[uuid]
            return
        log = self._state.logs.get(uuid)
        disk.attach(self._chain(uuid), None if log is None else self._log(log.file), node.virtual_size)

    def _open(self, uuid: str) -> CowDisk:
        with self._lock:
            self._state.disk(uuid)
            disk = self._disks.get(uuid)
            if disk is None:
                disk = CowDisk(uuid, self._chain)
                self._disks[uuid] = disk
                self._follow(uuid, disk)
            return disk

    def _chain(self, uuid: str) -> Chain:
        """The open layers of a node. DiskMissing when it is unknown or has no data."""
        with self._lock:
            if uuid not in self._state.nodes:
                raise DiskMissing(uuid)
            numbers = [node.layer for node in self._state.chain(uuid)]
            return tuple(self._layer(uuid, number) for number in numbers)

    def _layer(self, uuid: str, number: int | None) -> Layer:
        if number is None:
            raise DiskMissing(uuid)
        layer = self._layers.get(number)
        if layer is None:
            layer = self._layers[number] = Layer(self._folder, number, self._space)
        return layer

    def _log(self, file: int) -> BlockMap:
        log = self._logs.get(file)
        if log is None:
            log = self._logs[file] = BlockMap(log_path(self._folder, file))
        return log

    @contextlib.contextmanager
    def _paused(self, *uuids: str) -> Iterator[State]:
        """Let nobody write to the disks; yields a state to change. Files not committed are removed."""
        with self._lock, contextlib.ExitStack() as stack:
            for uuid in uuids:
                disk = self._disks.get(uuid)
                if disk is not None:
                    stack.enter_context(disk.lock)
            state = self._state.copy()
            try:
                yield state
            finally:
                for number in range(self._state.next_number, state.next_number):
                    self._remove_layer(number)
                    log_path(self._folder, number).unlink(missing_ok=True)

    def _new_layer(self, state: State, virtual_size: int, image_format: str) -> int:
        """Make an empty layer for a node of `state`. NoSpace."""
        number = state.new_number()
        self._space.reserve(number, overhead(virtual_size, image_format))
        Layer.create(self._folder, number, virtual_size)
        return number

    def _remove_layer(self, number: int) -> None:
        Layer.remove(self._folder, number)
        self._space.release(number)

    def _grow(self, state: State, uuid: str, virtual_size: int) -> None:
        """Grow a node of `state`, files first: killed before the save, they are merely too large."""
        node = state.nodes[uuid]
        layer = self._layer(uuid, node.layer)
        before = overhead(node.virtual_size, node.image_format)
        self._space.reserve(layer.number, overhead(virtual_size, node.image_format) - before)
        layer.grow(virtual_size)
        if uuid in state.logs:
            self._log(state.logs[uuid].file).grow(virtual_size // BLOCK)
        state.nodes[uuid] = replace(node, virtual_size=virtual_size)

    def _new_log(self, state: State, virtual_size: int) -> int:
        """Make an empty changed-block log for a node of `state`."""
        file = state.new_number()
        BlockMap.create(log_path(self._folder, file), virtual_size // BLOCK)
        return file
