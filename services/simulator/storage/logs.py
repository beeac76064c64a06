"""How changed-block logs are linked: pure state changes (sm: drivers/VDI.py _cbt_snapshot)."""

from __future__ import annotations

from services.simulator.storage.state import LogRecord, State


def hand_over(state: State, uuid: str, snapshot: str, fresh_file: int) -> None:
    """The log of leaf `uuid` becomes the snapshot's, and the leaf goes on with an empty one."""
    leaf = state.logs[uuid]
    state.change_log(leaf.parent, child=snapshot)
    state.logs[snapshot] = LogRecord(leaf.file, leaf.parent, uuid, consistent=True)
    state.logs[uuid] = LogRecord(fresh_file, snapshot, None, leaf.consistent)


def drop(state: State, uuid: str) -> None:
    """Remove a log, if there is one, and link its neighbours with each other."""
    log = state.logs.pop(uuid, None)
    if log is not None:
        state.change_log(log.parent, child=log.child)
        state.change_log(log.child, parent=log.parent)
