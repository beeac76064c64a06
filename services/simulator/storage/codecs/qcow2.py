"""Disks as qcow2 images: written in one pass, read when all has come, since parts may be in any order."""

from __future__ import annotations

import struct
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from services.simulator.storage.codecs import qcow2_format
from services.simulator.storage.codecs.qcow2_format import COMPRESSED, COPIED, OFFSET_MASK, ZERO, Header
from services.simulator.storage.errors import BadImage
from services.simulator.storage.ports import BLOCK, Disk

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
_PER_TABLE = CLUSTER // 8
_PER_REFCOUNTS = CLUSTER // 2


def export(disk: Disk, base: str | None = None) -> Iterator[bytes | bytearray]:
    """The whole disk, or just the clusters that may differ from node `base`. DiskMissing."""
    clusters = [
        cluster
        for extent in (disk.extents() if base is None else disk.differences(base))
        if extent.data
        for cluster in range(extent.offset // BLOCK, -(-(extent.offset + extent.length) // BLOCK))
    ]
    l1_entries = -(-disk.virtual_size // (CLUSTER * _PER_TABLE))
    l2_tables = sorted({cluster // _PER_TABLE for cluster in clusters})
    l1_clusters = -(-l1_entries // _PER_TABLE)
    table_clusters, blocks = _refcount_clusters(1 + l1_clusters + len(l2_tables) + len(clusters))
    l1_at = 1 + table_clusters + blocks
    data_at = l1_at + l1_clusters + len(l2_tables)
    total = data_at + len(clusters)

    yield qcow2_format.pack(
        disk.virtual_size, CLUSTER_BITS, (l1_at * CLUSTER, l1_entries), (CLUSTER, table_clusters)
    ).ljust(CLUSTER, b"\0")
    yield _table([(1 + table_clusters + block) * CLUSTER for block in range(blocks)], table_clusters)
    yield (b"\0\1" * total).ljust(blocks * CLUSTER, b"\0")
    places = {table: l1_at + l1_clusters + index for index, table in enumerate(l2_tables)}
    yield _table([_used(places.get(table)) for table in range(l1_entries)], l1_clusters)
    yield from _l2_tables(clusters, data_at)
    for cluster in clusters:
        data = bytearray(CLUSTER)
        disk.read_into(cluster * CLUSTER, data)
        yield data


def _refcount_clusters(others: int) -> tuple[int, int]:
    """Clusters of the refcount table and of its blocks, which count themselves as well."""
    table, blocks = 1, 1
    while True:
        needed = -(-(others + table + blocks) // _PER_REFCOUNTS)
        needed_table = -(-needed // _PER_TABLE)
        if (needed_table, needed) == (table, blocks):
            return table, blocks
        table, blocks = needed_table, needed


def _used(cluster: int | None) -> int:
    return 0 if cluster is None else cluster * CLUSTER | COPIED


def _table(entries: list[int], clusters: int) -> bytes:
    return struct.pack(f">{len(entries)}Q", *entries).ljust(clusters * CLUSTER, b"\0")


def _l2_tables(clusters: list[int], data_at: int) -> Iterator[bytes]:
    entries: list[int] = []
    current = -1
    for index, cluster in enumerate(clusters):
        table, place = divmod(cluster, _PER_TABLE)
        if table != current:
            if entries:
                yield _table(entries, 1)
            entries, current = [0] * _PER_TABLE, table
        entries[place] = _used(data_at + index)
    if entries:
        yield _table(entries, 1)


class Qcow2Import:
    """Collects the image in an unnamed file in `folder`, and writes its clusters to the disk at the end.

    What the image does not hold is left as it is: a delta belongs on a disk that holds its base.
    """

    complete = False

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by the next line
        weakref.finalize(self, self._file.close)

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. BadImage when the image does not fit the disk."""
        if self._file.tell() + len(piece) > 2 * self._disk.virtual_size + 64 * 1024 * 1024:
            raise BadImage("the qcow2 stream is more than twice as large as the disk")
        self._file.write(piece)

    def finish(self) -> None:
        """Read it. BadImage, NoSpace."""
        with self._file as file:
            file.seek(0)
            header = qcow2_format.unpack(file.read(qcow2_format.HEADER_SIZE))
            if header.virtual_size > self._disk.virtual_size:
                raise BadImage(f"the qcow2 image of {header.virtual_size} bytes is larger than the disk")
            for number, entry in enumerate(_read_table(file, header.l1_offset, header.l1_entries)):
                if entry & OFFSET_MASK:
                    self._write_table(file, header, number, entry & OFFSET_MASK)

    def _write_table(self, file: BinaryIO, header: Header, number: int, at: int) -> None:
        entries = header.cluster_size // 8
        for place, entry in enumerate(_read_table(file, at, entries)):
            self._write(file, header, (number * entries + place) * header.cluster_size, entry)

    def _write(self, file: BinaryIO, header: Header, offset: int, entry: int) -> None:
        if not entry or offset >= header.virtual_size:
            return
        if entry & COMPRESSED:
            raise BadImage("compressed qcow2 clusters are not supported; convert the image without them")
        length = min(header.cluster_size, header.virtual_size - offset)
        if entry & ZERO:
            self._disk.write_zeroes(offset, length)
        elif entry & OFFSET_MASK:
            self._disk.write(offset, _read(file, entry & OFFSET_MASK, length))


def _read_table(file: BinaryIO, offset: int, entries: int) -> tuple[int, ...]:
    return struct.unpack(f">{entries}Q", _read(file, offset, entries * 8))


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    data = file.read(length)
    if len(data) < length:
        raise BadImage(f"the qcow2 image ends before the {length} bytes at {offset}")
    return data
