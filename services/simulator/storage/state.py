"""What a storage repository remembers: its nodes and changed-block logs, in one file replaced whole."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.simulator.storage.errors import DiskMissing

STATE_FILE = "sr.json"


@dataclass(frozen=True)
class NodeRecord:
    """A disk or hidden parent. `layer` numbers its files; None after data_destroy."""

    virtual_size: int
    layer: int | None
    parent: str | None = None
    hidden: bool = False
    image_format: str = "vhd"


@dataclass(frozen=True)
class LogRecord:
    """A changed-block log: blocks written between the snapshot `parent` and the node it is kept under."""

    file: int
    parent: str | None = None
    child: str | None = None
    consistent: bool = True


@dataclass
class State:
    """All of it. Changes are made on a `copy` and count from `save` on."""

    physical_size: int
    next_number: int = 1
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    logs: dict[str, LogRecord] = field(default_factory=dict)

    def copy(self) -> State:
        """A state that can be changed without touching this one."""
        return State(self.physical_size, self.next_number, dict(self.nodes), dict(self.logs))

    def new_number(self) -> int:
        """A number no layer or log file has."""
        self.next_number += 1
        return self.next_number - 1

    def layers(self) -> set[int]:
        """Numbers of the layers in use."""
        return {node.layer for node in self.nodes.values() if node.layer is not None}

    def log_files(self) -> set[int]:
        """Numbers of the changed-block log files in use."""
        return {log.file for log in self.logs.values()}

    def chain(self, uuid: str) -> list[NodeRecord]:
        """The node and its parents, down to the root."""
        found: list[NodeRecord] = []
        step: str | None = uuid
        while step is not None:
            found.append(self.nodes[step])
            step = found[-1].parent
        return found

    def children(self) -> dict[str, list[str]]:
        """Child nodes of every node that has any."""
        found: dict[str, list[str]] = {}
        for uuid, node in self.nodes.items():
            if node.parent is not None:
                found.setdefault(node.parent, []).append(uuid)
        return found

    def disk(self, uuid: str) -> NodeRecord:
        """A node that a client may read or write. DiskMissing."""
        node = self.nodes.get(uuid)
        if node is None or node.hidden or node.layer is None:
            raise DiskMissing(uuid)
        return node

    def change_log(self, uuid: str | None, **fields: str | int | None) -> None:
        """Replace fields of a log, if there is one under `uuid`."""
        if uuid is not None and uuid in self.logs:
            self.logs[uuid] = replace(self.logs[uuid], **fields)  # type: ignore[arg-type]

    def save(self, folder: Path) -> None:
        """Make this the state that the next process finds."""
        draft = folder / (STATE_FILE + ".new")
        content = {
            "physical_size": self.physical_size,
            "next_number": self.next_number,
            "nodes": {uuid: vars(node) for uuid, node in self.nodes.items()},
            "logs": {uuid: vars(log) for uuid, log in self.logs.items()},
        }
        draft.write_text(json.dumps(content))
        os.replace(draft, folder / STATE_FILE)

    @staticmethod
    def load(folder: Path) -> State:
        """The state last saved in `folder`."""
        found = json.loads((folder / STATE_FILE).read_text())
        return State(
            found["physical_size"],
            found["next_number"],
            {uuid: NodeRecord(**node) for uuid, node in found["nodes"].items()},
            {uuid: LogRecord(**log) for uuid, log in found["logs"].items()},
        )
