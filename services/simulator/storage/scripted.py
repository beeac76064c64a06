"""Writes of a guest that does what a script says: known data in known blocks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from services.simulator.storage.ports import BLOCK, Disk


def block_data(seed: int, block: int) -> bytes:
    """The 64 KiB that `write_seeded` puts into a block: incompressible, and the same every time."""
    return random.Random(f"{seed}:{block}").randbytes(BLOCK)  # noqa: S311 - test data, no secret


def write_seeded(disk: Disk, seed: int, blocks: Iterable[int]) -> None:
    """Fill whole 64 KiB blocks, told by their numbers. OutOfRange, NoSpace."""
    write_blocks(disk, {block: block_data(seed, block) for block in blocks})


def write_blocks(disk: Disk, data: Mapping[int, bytes]) -> None:
    """Write at the start of each block; data must be whole sectors. OutOfRange, NoSpace."""
    for block, content in data.items():
        disk.write(block * BLOCK, content)
