"""A recorder of file operations, and what a disk may hold when the power goes at any of them.

The model is that of a journalling file system at its worst (Pillai et al., "All File Systems Are Not Created
Equal", OSDI 2014): bytes are safe once their file was synced, names once their directory was synced, and of
everything else any part may have reached the disk, in any order.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """One of make, write, sync, name, unname, directory, told. ``node`` is a file or the directory."""

    verb: str
    node: int
    name: str = ""
    child: int = 0
    data: bytes = b""


@dataclass
class Recording:
    """Every operation below ``root``, in order, those of processes that died before included.

    ``tell`` notes what was acknowledged at that moment.
    """

    root: Path
    operations: list[Operation] = field(default_factory=list)

    def tell(self, what: str) -> None:
        self.operations.append(Operation("told", ROOT, what))

    def named(self, since: int) -> list[tuple[int, str]]:
        """After how many operations an object has its name, or has lost it, and its path; since so many."""
        disk, found = Disk(), list[tuple[int, str]]()
        for number, operation in enumerate(self.operations, 1):
            paths = {node: path for path, node in disk.paths()} if number > since else {}
            disk.apply(operation)
            if paths and operation.verb in ("name", "unname") and not operation.name.startswith("."):
                path = f"{paths[operation.node]}/{operation.name}".removeprefix("/")
                if not isinstance(disk.live[operation.child], dict):
                    found.append((number, path))
        return found

    @contextmanager
    def recording(self) -> Iterator["Recording"]:
        """Record what this process does through ``os`` while inside."""
        recorder = _Recorder(self)
        real = {name: getattr(os, name) for name in recorder.calls}
        for name, call in recorder.calls.items():
            setattr(os, name, call)
        try:
            yield self
        finally:
            for name, call in real.items():
                setattr(os, name, call)


class _Recorder:
    def __init__(self, recording: Recording) -> None:
        self._out = recording.operations
        self._root = str(recording.root)
        disk = Disk()
        for operation in recording.operations:
            disk.apply(operation)
        self._nodes = {str(recording.root / path): node for path, node in disk.paths()}
        self._open: dict[int, int] = {}
        self._count = max(disk.live)
        self._lock = threading.RLock()
        self._real = {n: getattr(os, n) for n in ("open", "close", "write", "link", "unlink", "mkdir")}
        self._real |= {n: getattr(os, n) for n in ("fsync", "fdatasync")}
        self.calls: dict[str, Callable[..., Any]] = {n: getattr(self, n) for n in self._real}

    def open(self, path: Any, flags: int, *args: Any, **options: Any) -> int:
        with self._lock:
            descriptor: int = self._real["open"](path, flags, *args, **options)
            if self._is_ours(path):
                if flags & os.O_CREAT:
                    self._make("make", path)
                self._open[descriptor] = self._nodes[str(path)]
            return descriptor

    def close(self, descriptor: int) -> None:
        with self._lock:
            self._open.pop(descriptor, None)
            self._real["close"](descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        with self._lock:
            written: int = self._real["write"](descriptor, data)
            if descriptor in self._open:
                self._add("write", self._open[descriptor], data=bytes(memoryview(data)[:written]))
            return written

    def fdatasync(self, descriptor: int) -> None:
        self._sync("fdatasync", descriptor)

    def fsync(self, descriptor: int) -> None:
        self._sync("fsync", descriptor)

    def link(self, source: Any, target: Any) -> None:
        with self._lock:
            self._real["link"](source, target)
            if self._is_ours(target):
                self._nodes[str(target)] = self._nodes[str(source)]
                self._name("name", target, self._nodes[str(source)])

    def unlink(self, path: Any, *args: Any, **options: Any) -> None:
        with self._lock:
            self._real["unlink"](path, *args, **options)
            if self._is_ours(path):
                self._name("unname", path, self._nodes.pop(str(path)))

    def mkdir(self, path: Any, *args: Any, **options: Any) -> None:
        with self._lock:
            self._real["mkdir"](path, *args, **options)
            if self._is_ours(path):
                self._make("directory", path)

    def _is_ours(self, path: Any) -> bool:
        return str(path).startswith(self._root)

    def _make(self, verb: str, path: Any) -> None:
        self._count += 1
        self._nodes[str(path)] = self._count
        self._add(verb, self._count)
        self._name("name", path, self._count)

    def _name(self, verb: str, path: Any, child: int) -> None:
        parent, _, name = str(path).rpartition("/")
        self._add(verb, self._nodes[parent], name, child)

    def _sync(self, call: str, descriptor: int) -> None:
        with self._lock:
            self._real[call](descriptor)
            if descriptor in self._open:
                self._add("sync", self._open[descriptor])

    def _add(self, verb: str, node: int, name: str = "", child: int = 0, data: bytes = b"") -> None:
        self._out.append(Operation(verb, node, name, child, data))


@dataclass
class Disk:
    """What is safe, and what is only in memory, after some of a recording's operations."""

    safe: dict[int, bytes | dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    live: dict[int, bytes | dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    told: list[str] = field(default_factory=list)

    def apply(self, operation: Operation) -> None:
        node = operation.node
        if operation.verb == "told":
            self.told.append(operation.name)
        elif operation.verb in ("make", "directory"):
            self.live[node] = b"" if operation.verb == "make" else {}
            self.safe[node] = b"" if operation.verb == "make" else {}
        elif operation.verb == "sync":
            here = self.live[node]
            self.safe[node] = dict(here) if isinstance(here, dict) else here
        elif operation.verb == "write":
            content = self.live[node]
            assert isinstance(content, bytes)
            self.live[node] = content + operation.data
        else:
            names = self.live[node]
            assert isinstance(names, dict)
            if operation.verb == "name":
                names[operation.name] = operation.child
            else:
                del names[operation.name]

    def paths(self, node: int = ROOT, path: str = "") -> Iterator[tuple[str, int]]:
        """Path and node of everything that is there as long as the power is."""
        yield path, node
        names = self.live[node]
        for name, child in names.items() if isinstance(names, dict) else ():
            yield from self.paths(child, f"{path}/{name}".removeprefix("/"))

    def after_power_loss(self, how: str, seed: int = 0) -> dict[str, bytes | None]:
        """Files by path (None: a directory) that a restarted machine finds.

        ``how``: ``nothing`` that was not synced is there; ``names`` are, with nothing in them; ``zeros``: the
        same, filled with zeros; ``torn``: of names and bytes each or not, by ``seed``; ``everything`` is
        there: the power did not go.
        """
        found: dict[str, bytes | None] = {}
        self._gather(ROOT, "", how, random.Random(seed), found)
        return found

    def _gather(
        self, node: int, path: str, how: str, dice: random.Random, found: dict[str, bytes | None]
    ) -> None:
        for name, child in sorted(self._names(node, how, dice).items()):
            here = f"{path}{name}"
            content = self.live[child]
            if isinstance(content, dict):
                found[here] = None
                self._gather(child, f"{here}/", how, dice, found)
            else:
                found[here] = self._bytes(child, content, how, dice)

    def _names(self, node: int, how: str, dice: random.Random) -> dict[str, int]:
        safe, live = self.safe[node], self.live[node]
        assert isinstance(safe, dict) and isinstance(live, dict)
        if how != "torn":
            return safe if how == "nothing" else live
        either: dict[str, int] = {}
        for name in sorted(safe.keys() | live.keys()):
            child = (live if dice.random() < 0.5 else safe).get(name)
            if child is not None:
                either[name] = child
        return either

    def _bytes(self, node: int, content: bytes, how: str, dice: random.Random) -> bytes:
        safe = self.safe[node]
        assert isinstance(safe, bytes)
        lost = content[len(safe) :]
        if how == "everything":
            return content
        if how == "zeros":
            return safe + bytes(len(lost))
        if how == "torn":
            kept = dice.randrange(len(lost) + 1)
            return safe + lost[:kept] + bytes(dice.choice((0, len(lost) - kept)))
        return safe


def lay_out(files: dict[str, bytes | None], folder: Path) -> None:
    """Make a directory of what was found."""
    folder.mkdir()
    for path, content in files.items():
        place = folder / path
        if content is None:
            place.mkdir()
        else:
            place.write_bytes(content)
