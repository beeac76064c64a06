"""What a simulated repository holds."""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20
TIB: Final = 1 << 40
CHUNKS_A_PACK: Final = 63
"""Of 1 MiB, half of which is left by compression."""
_FULL_SHARE: Final = 0.65
_PAGE: Final = 1024
_SCATTER: Final = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """``chunks`` distinct ones in all, ``points`` of ``disks`` disks, one full of each and then incrementals.

    Two thirds of the chunks are in fulls; what changes lies in up to eight GiB of a disk.
    """

    chunks: int
    points: int
    disks: int

    @property
    def disk_chunks(self) -> int:
        return max(1, int(self.chunks * _FULL_SHARE) // self.disks)

    @property
    def incrementals(self) -> int:
        return self.points - self.disks

    @property
    def changed_chunks(self) -> int:
        """Of one incremental."""
        left = self.chunks - self.disks * self.disk_chunks
        return max(1, left // self.incrementals) if self.incrementals else 0

    @property
    def packs(self) -> int:
        """Data packs; those of one point are its own."""
        full = -(-self.disk_chunks // CHUNKS_A_PACK)
        changed = -(-self.changed_chunks // CHUNKS_A_PACK)
        return self.disks * full + self.incrementals * changed

    @property
    def disk_bytes(self) -> int:
        return self.disk_chunks * MIB

    def changed(self, generation: int) -> list[int]:
        """Chunks that the ``generation``-th incremental of a disk changes, ascending."""
        pages = max(1, self.disk_chunks // _PAGE)
        touched = sorted({(generation * 7 + step * 13) % pages for step in range(min(_SCATTER, pages))})
        found: list[int] = []
        for at, page in enumerate(touched):
            share = self.changed_chunks * (at + 1) // len(touched) - self.changed_chunks * at // len(touched)
            room = min(_PAGE, self.disk_chunks - page * _PAGE)
            step = max(1, room // max(1, share))
            first = page * _PAGE + generation % step
            found += range(first, min(first + share * step, page * _PAGE + room), step)
        return found
