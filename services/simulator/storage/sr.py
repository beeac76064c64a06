"""A storage repository in a folder."""

from __future__ import annotations

from pathlib import Path

from services.simulator.storage.changed_blocks import ChangedBlocks
from services.simulator.storage.coalescing import Coalescing
from services.simulator.storage.life import Life
from services.simulator.storage.ports import Node, Usage
from services.simulator.storage.state import State


class Sr(Life, Coalescing, ChangedBlocks):
    """Fulfils `ports.StorageRepository`. One process at a time may have a folder open."""

    @classmethod
    def create(cls, folder: Path, physical_size: int) -> Sr:
        """Make an empty SR of `physical_size` bytes; the folder must be empty or absent."""
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty; open it, or choose another folder for the new SR")
        State(physical_size).save(folder)
        return cls(folder)

    @classmethod
    def open(cls, folder: Path) -> Sr:
        """Take up the SR that `create` made in `folder`. FileNotFoundError."""
        return cls(folder)

    def resize_repository(self, physical_size: int) -> None:
        """More or less room from now on, whatever is in use."""
        with self._lock:
            state = self._state.copy()
            state.physical_size = physical_size
            self._commit(state)
            self._space.resize(physical_size)

    def nodes(self) -> list[Node]:
        """Every disk and hidden parent."""
        with self._lock:
            return [self.node(uuid) for uuid in self._state.nodes]

    def usage(self) -> Usage:
        """Space now."""
        with self._lock:
            state = self._state
            virtual = sum(node.virtual_size for node in state.nodes.values() if not node.hidden)
            return Usage(state.physical_size, self._space.total, virtual)
