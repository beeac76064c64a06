"""The room in a storage repository."""

from __future__ import annotations

import threading

from services.simulator.storage.errors import NoSpace
from services.simulator.storage.ports import BLOCK, SECTOR, VHD_BLOCK

_L1_CLUSTER_COVERS = (BLOCK // 8) ** 2 * BLOCK


def overhead(virtual_size: int, image_format: str) -> int:
    """Bytes of an empty image: of a dynamic VHD two footers, header and block table (VHD specification 1.0),
    of a QCOW2 header, refcount table and block, and level 1 table (QEMU: docs/interop/qcow2.txt).
    """
    if image_format == "qcow2":
        return (3 - (-virtual_size // _L1_CLUSTER_COVERS)) * BLOCK
    table = -(-4 * (virtual_size // VHD_BLOCK) // SECTOR) * SECTOR
    return SECTOR + 1024 + table + SECTOR


class Space:
    """Bytes in use by layer, against the size of the SR. Thread safe."""

    def __init__(self, size: int, used: dict[int, int]) -> None:
        self._size = size
        self._used = used
        self._total = sum(used.values())
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """Bytes in use."""
        return self._total

    def resize(self, size: int) -> None:
        """More or less room from now on; what is in use stays."""
        with self._lock:
            self._size = size

    def used(self, layer: int) -> int:
        """Bytes in use by one layer."""
        return self._used.get(layer, 0)

    def reserve(self, layer: int, count: int) -> None:
        """Count bytes for a layer; NoSpace when they do not fit."""
        with self._lock:
            if count and self._total + count > self._size:
                left = self._size - self._total
                raise NoSpace(f"{count} bytes are needed, {left} of {self._size} are free")
            self._used[layer] = self._used.get(layer, 0) + count
            self._total += count

    def release(self, layer: int) -> None:
        """The layer is gone."""
        with self._lock:
            self._total -= self._used.pop(layer, 0)
