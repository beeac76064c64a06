"""Fills a repository with points and an index with chunks, uses both, and prints what memory grew by, in KiB.

A process of its own, so that nothing else counts: ``-m tests.faults.repository.many_work DIR 10 1000``.
"""

import sys
from dataclasses import replace
from pathlib import Path

from services.mover.repository import DirectoryStore
from services.mover.repository.format.blob import BlobEntry, BlobType
from services.mover.repository.format.names import point_name
from services.mover.repository.format.point import encode_body
from services.mover.repository.format.segment import PackRecord, Segment
from services.mover.repository.index import Index
from tests.unit.repository.world import BLOCK, back_up, new_repository, noise, restored

_SEGMENT, _PACK = 20_000, 100


def main(folder: Path, points: int, chunks: int) -> None:
    content = noise(4 * BLOCK)
    with new_repository(DirectoryStore(folder / "store", create=True), folder / "cache", BLOCK) as repository:
        point = back_up(repository, "p", content)
        before = _highest_kib()
        for number in range(points):
            point_id = f"p{number}"
            body = encode_body(replace(point, point_id=point_id))
            repository._context.objects.put("point", point_name(point_id), {"segments": []}, body)
        assert len(repository.list_points()) == points + 1
        assert repository.known_damage(f"p{points - 1}") == ""
        assert restored(repository, f"p{points - 1}") == content
    index = Index(folder / "index")
    for first in range(0, chunks, _SEGMENT):
        index.add_segment(_id(first), Segment(_packs(first, min(first + _SEGMENT, chunks))))
    some = range(0, chunks, 997)
    assert len(index.find([_id(number) for number in some])) == len(some)
    index.close()
    print(_highest_kib() - before)


def _packs(first: int, end: int) -> tuple[PackRecord, ...]:
    return tuple(
        PackRecord(_id(at), 1 << 20, "data", 1, bytes(32), _entries(at, min(at + _PACK, end)))
        for at in range(first, end, _PACK)
    )


def _entries(first: int, end: int) -> tuple[BlobEntry, ...]:
    return tuple(BlobEntry(_id(n), BlobType.CHUNK, 0, 1 << 20, (1 << 20) + 16) for n in range(first, end))


def _id(number: int) -> bytes:
    return number.to_bytes(8, "big") * 4


def _highest_kib() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
