"""Shortening chains, as the garbage collector of a VHD SR does (sm: drivers/cleanup.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from services.simulator.storage.disk import CowDisk
from services.simulator.storage.layer import Layer
from services.simulator.storage.state import State
from services.simulator.storage.store import Store

SMALL = 32  # blocks that may be merged while the disk's writers wait
ROUNDS = 10  # a disk written faster than it is merged makes its writers wait longer at last


@dataclass(frozen=True)
class Merge:
    """Move the data of `node` into its parent, whose only child it is."""

    node: str
    parent: str
    leaf: bool

    def stands(self, state: State, layer: int) -> bool:
        """True when nothing happened to the two since; otherwise the next step makes another plan."""
        node = state.nodes.get(self.node)
        return node is not None and node.layer == layer and node.parent == self.parent


def next_garbage(state: State) -> str | None:
    """A hidden node that no chain uses."""
    parents = state.children()
    return next(
        (uuid for uuid, node in sorted(state.nodes.items()) if node.hidden and uuid not in parents), None
    )


def next_merge(state: State) -> Merge | None:
    """A hidden node (first) or leaf that is the only child of its parent."""
    only = [
        Merge(children[0], parent, leaf=not state.nodes[children[0]].hidden)
        for parent, children in state.children().items()
        if len(children) == 1
    ]
    return min(only, key=lambda merge: (merge.leaf, merge.node), default=None)


class Coalescing(Store):
    """What `ports.StorageRepository` says about coalescing.

    At any moment of a merge the parent is only seen through the node, whose blocks hide what is copied below
    them. Killed half-way, the parent holds some blocks more, which read the same; the next run starts again.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._merging: str | None = None

    def coalescing(self) -> str | None:
        """Uuid of the node that is being merged."""
        return self._merging

    def coalesce_step(self) -> bool:
        """Do one removal or merge. NoSpace when the parent cannot hold the node's blocks."""
        with self._merge_lock:
            with self._lock:
                if self._collect_garbage():
                    return True
                merge = next_merge(self._state)
                if merge is None:
                    return False
                if self._merge_at_once(merge):
                    return True
                node, parent = self._chain(merge.node)[:2]
            self._merging = merge.node
            try:
                self._merge(merge, node, parent)
            finally:
                self._merging = None
            return True

    def _collect_garbage(self) -> bool:
        with self._paused() as state:
            garbage = next_garbage(state)
            if garbage is not None:
                del state.nodes[garbage]
                self._commit(state)
            return garbage is not None

    def _merge_at_once(self, merge: Merge) -> bool:
        """Merge a node without data: a fork of it would give the parent another child. True when done.

        A fork of any other node comes between it and the parent. The parent is made large enough; False.
        """
        with self._paused(merge.node) as state:
            self._grow(state, merge.parent, state.nodes[merge.node].virtual_size)
            empty = not self._chain(merge.node)[0].map.count()
            if empty:
                _relink(state, merge)
            self._commit(state)
            return empty

    def _merge(self, merge: Merge, node: Layer, parent: Layer) -> None:
        disk = self._open(merge.node) if merge.leaf else None
        try:
            self._copy_down(disk, node, parent)
            with self._paused(merge.node) as state:
                if merge.stands(state, node.number):
                    if disk is not None and disk.touched:
                        _take(parent, node, disk.touched)
                    _relink(state, merge)
                    self._commit(state)
        finally:
            if disk is not None:
                disk.touched = None

    def _copy_down(self, disk: CowDisk | None, node: Layer, parent: Layer) -> None:
        """Copy everything; of a disk that is being written, repeat until little is left for the pause."""
        if disk is not None:
            with disk.lock:
                disk.touched = set()
        block, blocks = 0, len(node.map)
        while block < blocks:
            written, stop = node.map.run(block, blocks)
            if written:
                parent.take_blocks(node, block, stop)
            block = stop
        for _ in range(ROUNDS):
            if disk is None or disk.touched is None or len(disk.touched) <= SMALL:
                return
            with disk.lock:
                touched, disk.touched = disk.touched, set()
            _take(parent, node, touched)


def _relink(state: State, merge: Merge) -> None:
    """The parent takes the place of the node (of a leaf: under the leaf's uuid)."""
    node, parent = state.nodes[merge.node], state.nodes[merge.parent]
    if merge.leaf:
        del state.nodes[merge.parent]
        state.nodes[merge.node] = replace(node, layer=parent.layer, parent=parent.parent)
        return
    del state.nodes[merge.node]
    for uuid, child in state.nodes.items():
        if child.parent == merge.node:
            state.nodes[uuid] = replace(child, parent=merge.parent)


def _take(parent: Layer, node: Layer, blocks: Iterable[int]) -> None:
    """Copy blocks again. Not those of a layer put above the node meanwhile: the node has never had them."""
    for block in sorted(blocks):
        if node.map.has(block):
            parent.take_blocks(node, block, block + 1)
