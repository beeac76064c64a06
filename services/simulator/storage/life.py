"""The life of disks: made, forked, copied, grown, destroyed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from services.simulator.storage import logs
from services.simulator.storage.disk import CowDisk
from services.simulator.storage.errors import BadSize, ChainTooLong, DiskExists, DiskMissing
from services.simulator.storage.ports import (
    BLOCK,
    LARGEST,
    MAX_CHAIN_LENGTH,
    STEPS,
    Extent,
    Node,
    Progress,
    StorageRepository,
)
from services.simulator.storage.state import NodeRecord, State
from services.simulator.storage.store import Store

COPY_PIECE = 2 * 1024 * 1024


def rounded(virtual_size: int, image_format: str) -> int:
    """The size a disk really gets (see ``STEPS``). BadSize."""
    largest, step = LARGEST[image_format], STEPS[image_format]
    if not 0 <= virtual_size <= largest:
        limits = f"{step // 2**10} KiB and {largest // 2**20} MiB"
        raise BadSize(f"VDI size must be between {limits}, not {virtual_size} bytes")
    return max(step, -(-virtual_size // step) * step)


class Life(Store):
    """What `ports.StorageRepository` says about the life of a disk."""

    def node(self, uuid: str) -> Node:
        """One disk or hidden parent."""
        with self._lock:
            record = self._state.nodes.get(uuid)
            if record is None:
                raise DiskMissing(uuid)
            return Node(
                uuid=uuid,
                parent=record.parent,
                hidden=record.hidden,
                metadata_only=record.layer is None,
                virtual_size=record.virtual_size,
                physical_utilisation=0 if record.layer is None else self._space.used(record.layer),
                cbt_enabled=uuid in self._state.logs,
                image_format=record.image_format,
                chain_length=len(self._state.chain(uuid)),
            )

    def disk(self, uuid: str) -> CowDisk:
        """Open a disk."""
        return self._open(uuid)

    def create_disk(self, uuid: str, virtual_size: int, image_format: str = "vhd") -> Node:
        """An empty disk."""
        size = rounded(virtual_size, image_format)
        with self._paused() as state:
            _check_new(state, uuid)
            layer = self._new_layer(state, size, image_format)
            state.nodes[uuid] = NodeRecord(size, layer, image_format=image_format)
            self._commit(state)
            return self.node(uuid)

    def create_disks(self, sizes: Mapping[str, int], image_format: str = "vhd") -> list[Node]:
        """Empty disks by uuid, all at once or none."""
        with self._paused() as state:
            for uuid, virtual_size in sizes.items():
                _check_new(state, uuid)
                size = rounded(virtual_size, image_format)
                layer = self._new_layer(state, size, image_format)
                state.nodes[uuid] = NodeRecord(size, layer, image_format=image_format)
            self._commit(state)
            return [self.node(uuid) for uuid in sizes]

    def import_image(
        self, uuid: str, image: Path, virtual_size: int | None = None, image_format: str = "vhd"
    ) -> Node:
        """A disk filled from a raw image file; on failure there is no disk."""
        with open(image, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if virtual_size is not None and virtual_size < length:
                raise BadSize(f"{image} has {length} bytes, more than {virtual_size}")
            self.create_disk(uuid, length if virtual_size is None else virtual_size, image_format)
            try:
                _fill(self._open(uuid), file.fileno(), length)
            except BaseException:
                self.destroy(uuid)
                raise
        return self.node(uuid)

    def snapshot(self, uuid: str, new_uuid: str, base_uuid: str) -> Node:
        """Fork; the log of the leaf goes to the snapshot."""
        with self._paused(uuid) as state:
            self._fork(state, uuid, new_uuid, base_uuid)
            if uuid in state.logs:
                logs.hand_over(state, uuid, new_uuid, self._new_log(state, state.nodes[uuid].virtual_size))
            self._commit(state)
            return self.node(new_uuid)

    def clone(self, uuid: str, new_uuid: str, base_uuid: str) -> Node:
        """Fork; the log stays."""
        with self._paused(uuid) as state:
            self._fork(state, uuid, new_uuid, base_uuid)
            self._commit(state)
            return self.node(new_uuid)

    def revert(self, uuid: str, snapshot: str, base_uuid: str) -> Node:
        """Fork the snapshot in place of the disk; the disk's log is dropped."""
        with self._paused(uuid, snapshot) as state:
            state.disk(uuid)
            del state.nodes[uuid]
            self._fork(state, snapshot, uuid, base_uuid)
            logs.drop(state, uuid)
            self._commit(state)
            return self.node(uuid)

    def _fork(self, state: State, uuid: str, new_uuid: str, base_uuid: str) -> None:
        """Put two empty leaves above what `uuid` is now (sm: FileSR._snapshot; an empty leaf is no base)."""
        leaf = state.disk(uuid)
        _check_new(state, new_uuid)
        if leaf.parent is None or self._layer(uuid, leaf.layer).map.count():
            if len(state.chain(uuid)) >= MAX_CHAIN_LENGTH:
                raise ChainTooLong(f"VDI {uuid} has {MAX_CHAIN_LENGTH} images; coalesce the SR first")
            _check_new(state, base_uuid)
            state.nodes[base_uuid] = replace(leaf, hidden=True)
            layer = self._new_layer(state, leaf.virtual_size, leaf.image_format)
            leaf = replace(leaf, layer=layer, parent=base_uuid)
            state.nodes[uuid] = leaf
        layer = self._new_layer(state, leaf.virtual_size, leaf.image_format)
        state.nodes[new_uuid] = replace(leaf, layer=layer)

    def copy(
        self,
        uuid: str,
        target: StorageRepository,
        new_uuid: str,
        base: str | None = None,
        progress: Progress | None = None,
        image_format: str | None = None,
    ) -> Node:
        """Write the blocks over what another disk holds; one made for it goes again on failure."""
        source = self._open(uuid)
        size = source.virtual_size
        made = all(node.uuid != new_uuid for node in target.nodes())
        if made:
            target.create_disk(new_uuid, size, image_format or self.node(uuid).image_format)
        elif target.node(new_uuid).virtual_size < size:
            raise BadSize(f"VDI {new_uuid} is smaller than the {size} bytes of VDI {uuid}")
        try:
            destination = target.disk(new_uuid)
            buffer = memoryview(bytearray(COPY_PIECE))
            for extent in source.extents() if base is None else source.differences(base):
                for offset, length in _pieces(extent):
                    source.read_into(offset, buffer[:length])
                    destination.write(offset, buffer[:length])
                    if progress is not None:
                        progress((offset + length) / size)
        except BaseException:
            if made:
                target.destroy(new_uuid)
            raise
        return target.node(new_uuid)

    def resize(self, uuid: str, virtual_size: int) -> Node:
        """Grow, when no merge is going on."""
        with self._merge_lock, self._paused(uuid) as state:
            node = state.disk(uuid)
            size = rounded(virtual_size, node.image_format)
            if size < node.virtual_size:
                raise BadSize(f"VDI {uuid} has {node.virtual_size} bytes and cannot shrink to {size}")
            self._grow(state, uuid, size)
            self._commit(state)
            return self.node(uuid)

    def destroy(self, uuid: str) -> None:
        """Remove the node; of a log in the middle, the child's first becomes a superset."""
        with self._paused(uuid) as state:
            node = state.nodes.get(uuid)
            if node is None or node.hidden:
                raise DiskMissing(uuid)
            log = state.logs.get(uuid)
            if log is not None and log.child in state.logs:
                self._log(state.logs[log.child].file).merge(self._log(log.file))
            logs.drop(state, uuid)
            del state.nodes[uuid]
            self._commit(state)


def _check_new(state: State, uuid: str) -> None:
    if uuid in state.nodes:
        raise DiskExists(uuid)


def _pieces(extent: Extent) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of at most COPY_PIECE bytes; none of an extent without data."""
    end = extent.offset + extent.length if extent.data else extent.offset
    for offset in range(extent.offset, end, COPY_PIECE):
        yield offset, min(COPY_PIECE, end - offset)


def _fill(disk: CowDisk, image: int, length: int) -> None:
    """Copy the data extents of an image, widened to whole blocks."""
    buffer = memoryview(bytearray(COPY_PIECE))
    position = 0
    while position < length:
        try:
            begin = os.lseek(image, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        end = os.lseek(image, begin, os.SEEK_HOLE)
        begin, end = begin // BLOCK * BLOCK, -(-end // BLOCK) * BLOCK
        for offset, count in _pieces(Extent(begin, end - begin, True)):
            found = os.preadv(image, [buffer[:count]], offset)
            buffer[found:count] = bytes(count - found)
            disk.write(offset, buffer[:count])
        position = end
