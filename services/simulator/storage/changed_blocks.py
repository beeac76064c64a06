"""Changed-block tracking of a storage repository (sm: drivers/VDI.py, drivers/cbtutil.py)."""

from __future__ import annotations

import base64
from dataclasses import replace

from services.simulator.storage import logs
from services.simulator.storage.errors import ChangedBlocksUnknown
from services.simulator.storage.ports import BLOCK
from services.simulator.storage.state import LogRecord
from services.simulator.storage.store import Store


class ChangedBlocks(Store):
    """What `ports.StorageRepository` says about changed-block tracking."""

    def enable_cbt(self, uuid: str) -> None:
        """Start a log."""
        with self._paused(uuid) as state:
            node = state.disk(uuid)
            if uuid not in state.logs:
                state.logs[uuid] = LogRecord(self._new_log(state, node.virtual_size))
                self._commit(state)

    def disable_cbt(self, uuid: str) -> None:
        """Drop the log."""
        with self._paused(uuid) as state:
            state.disk(uuid)
            logs.drop(state, uuid)
            self._commit(state)

    def activate(self, uuid: str) -> bool:
        """Attached for writing; a log that still counts as inconsistent cannot be trusted."""
        with self._paused(uuid) as state:
            state.disk(uuid)
            log = state.logs.get(uuid)
            if log is None:
                return True
            if log.consistent:
                state.change_log(uuid, consistent=False)
            else:
                logs.drop(state, uuid)
            self._commit(state)
            return log.consistent

    def deactivate(self, uuid: str) -> None:
        """Detached in good order."""
        with self._lock:
            state = self._state.copy()
            state.change_log(uuid, consistent=True)
            self._commit(state)

    def data_destroy(self, uuid: str) -> None:
        """Only the log is left; ChangedBlocksUnknown when there is none."""
        with self._paused(uuid) as state:
            node = state.disk(uuid)
            if uuid not in state.logs:
                raise ChangedBlocksUnknown(f"VDI {uuid} has no changed-block log")
            state.nodes[uuid] = replace(node, layer=None, parent=None)
            self._commit(state)

    def list_changed_blocks(self, from_uuid: str, to_uuid: str) -> str:
        """The union of the logs after `from_uuid` up to and with that of `to_uuid`."""
        with self._lock:
            step = from_uuid
            blocks = self._state.nodes[to_uuid].virtual_size // BLOCK if to_uuid in self._state.nodes else 0
            bits = bytearray(-(-blocks // 8))
            while True:
                log = self._state.logs.get(step)
                if log is None or log.child is None or step == to_uuid:
                    raise ChangedBlocksUnknown
                step = log.child
                child = self._state.logs.get(step)
                if child is None:
                    raise ChangedBlocksUnknown
                for first, stop in self._log(child.file).written():
                    _set(bits, first, min(stop, blocks))
                if step == to_uuid:
                    return base64.b64encode(bits).decode()


def _set(bits: bytearray, first: int, stop: int) -> None:
    """Set the bits of a run of blocks, block 0 being the most significant bit of the first byte."""
    whole_from, whole_to = -(-first // 8), stop // 8
    if whole_from < whole_to:
        bits[whole_from:whole_to] = b"\xff" * (whole_to - whole_from)
    else:
        whole_from = whole_to = stop  # no byte is covered whole
    for block in (*range(first, min(stop, whole_from * 8)), *range(max(first, whole_to * 8), stop)):
        bits[block >> 3] |= 0x80 >> (block & 7)
