"""Writes to a disk by a script, in place of a guest: the same seed writes the same."""

import asyncio
import random
from dataclasses import dataclass

from services.simulator.pool import attachments
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.storage.ports import SECTOR

DEFAULT_WRITE_SIZE = 64 * 1024


@dataclass(frozen=True)
class Workload:
    """``writes`` writes of ``size`` bytes each, ``pause_s`` apart."""

    seed: int
    writes: int
    size: int
    pause_s: float = 0.0

    def places(self, virtual_size: int) -> list[int]:
        """Where it writes, in order, on a disk of ``virtual_size`` bytes."""
        chance = random.Random(self.seed)  # noqa: S311 - a script, not a secret
        slots = max(1, (virtual_size - self.size) // SECTOR + 1)
        return [chance.randrange(slots) * SECTOR for _ in range(self.writes)]

    def content(self, number: int) -> bytes:
        """Of the write of that number."""
        return random.Random(f"{self.seed}/{number}").randbytes(self.size)  # noqa: S311


async def run(pool: Pool, uuid: str, workload: Workload) -> list[int]:
    """Where it wrote, in order; fewer places than wanted when the VM stopped running.

    Raises ``XapiFailure`` when the SR is full, ``OutOfRange`` for writes larger than the disk.
    """
    vdi = pool.db.by_uuid("VDI", uuid)
    disk = await disk_work(pool.repository(vdi["SR"]).disk, uuid)
    done: list[int] = []
    for number, place in enumerate(workload.places(disk.virtual_size)):
        async with pool.guests_may_write:
            if pool.db.find("VDI", vdi.ref) is None or not attachments.written_by_guest(pool, vdi):
                return done
            content = await asyncio.to_thread(workload.content, number)
            await disk_work(disk.write, place, content)
        done.append(place)
        await pool.clock.sleep(workload.pause_s)
    return done
