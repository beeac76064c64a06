"""Changed-block tracking of a storage repository (sm: drivers/VDI.py, drivers/cbtutil.py)."""

from __future__ import annotations

import base64
from dataclasses import replace

from services.simulator.storage import logs
from services.simulator.storage.errors import ChangedBlocksUnknown
from services.simulator.storage.ports import BLOCK
from services.simulator.storage.state import LogRecord
from services.simulator.storage.store import Store

_AS_DIGITS = bytes.maketrans(b"\x00\x01", b"01")


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
            union, step = 0, from_uuid
            while True:
                log = self._state.logs.get(step)
                if log is None or log.child is None or step == to_uuid:
                    raise ChangedBlocksUnknown
                step = log.child
                child = self._state.logs.get(step)
                if child is None:
                    raise ChangedBlocksUnknown
                union |= int.from_bytes(self._log(child.file).snapshot(), "little")
                if step == to_uuid:
                    return _bitmap(union, self._state.nodes[step].virtual_size // BLOCK)


def _bitmap(union: int, blocks: int) -> str:
    """One byte per block to one bit per block, the first block in the most significant bit; base64."""
    length = -(-blocks // 8)
    digits = (union & ((1 << 8 * blocks) - 1)).to_bytes(length * 8, "little").translate(_AS_DIGITS)
    return base64.b64encode(int(digits, 2).to_bytes(length, "big")).decode()
