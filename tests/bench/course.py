"""One repetition: everybody does the same to the same disks, turn by turn, and has to be right."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import zstandard

from services.chassis.errors import Internal
from services.mover.repository import Extent
from tests.bench import disks
from tests.bench.contender import Contender, Disk
from tests.bench.ours import Xenkeep
from tests.bench.process import Cost, run, run_ours
from tests.integration.mover_io.nbdkit import Nbdkit

CHANGED_SHARE = 0.01
RUNNING = "xenkeep_running"
"""Xenkeep without unlocking the repository, which a mover does once."""
Peers = Mapping[str, Callable[[Path], Contender]]


@dataclass
class Samples:
    """What was measured, by ``disk.step`` and contender, one cost for each repetition; and other numbers."""

    costs: dict[str, dict[str, list[Cost]]] = field(default_factory=dict)
    numbers: dict[str, list[float]] = field(default_factory=dict)

    def cost(self, step: str, who: str, cost: Cost) -> None:
        self.costs.setdefault(step, {}).setdefault(who, []).append(cost)
        print(f"{time.strftime('%H:%M:%S')} {step:18} {who:16} {cost.seconds:8.2f} s", file=sys.stderr)

    def number(self, name: str, value: float) -> None:
        self.numbers.setdefault(name, []).append(value)


@dataclass(frozen=True, slots=True)
class Course:
    """``work`` is a folder to fill and empty again; ``peers`` make contenders by name."""

    work: Path
    peers: Peers
    samples: Samples

    def run(self, kind: str, disk: Disk, repetition: int) -> None:
        """What belongs to this kind of disk."""
        if kind == "dense":
            self.dense(disk, repetition)
        elif kind == "sparse":
            self.sparse(disk, repetition)
        else:
            self.no_change(disk)

    def dense(self, disk: Disk, repetition: int) -> None:
        """Full, restore, a change of 1 % of the disk in place, incremental, cold restore, verify, prune."""
        with self._contenders(repetition, self.peers) as (ours, contenders):
            self._full_and_restore("dense", disk, contenders)
            self._floor(disk)
            index = _size(ours.stored / "index")
            self.samples.number("index_bytes_per_tib", index * disks.TIB / disk.size_bytes)
            cache = _size(ours.cache) * disks.TIB / disk.size_bytes
            self.samples.number("index_cache_bytes_per_tib", cache)
            changed = disks.change(disk.image, CHANGED_SHARE, repetition)
            self._incremental(disk, changed, ours, contenders)
            self._restore_cold("dense.restore_cold", disks.sha256(disk.image), contenders)
            self._take("dense.verify", ours, ours.verify)
            self.samples.number("verify_stored_bytes", ours.facts["checked_bytes"])
            if ours.facts["findings"]:
                raise _wrong("The verification of Xenkeep's repository found damage.")
            self._take("dense.prune", ours, ours.prune)

    def sparse(self, disk: Disk, repetition: int) -> None:
        """Full and restore."""
        with self._contenders(repetition, self.peers) as (_, contenders):
            self._full_and_restore("sparse", disk, contenders)

    def no_change(self, disk: Disk) -> None:
        """Ours alone: a disk of which a full is there and nothing has changed since."""
        with self._contenders(0, {}) as (ours, _):
            self._take("huge.full", ours, partial(ours.full, disk))
            before = _files(ours.stored)
            self._take("huge.no_change", ours, partial(ours.incremental, disk, ()))
            self.samples.number("no_change_written_bytes", _added(before, ours.stored))

    def _full_and_restore(self, kind: str, disk: Disk, contenders: Sequence[Contender]) -> None:
        expected = disks.sha256(disk.image)  # which also brings all of it into the page cache
        for each in contenders:
            self._take(f"{kind}.full", each, partial(each.full, disk))
            self.samples.number(f"{kind}.stored_bytes.{each.name}", _size(each.stored))
        self._restore(f"{kind}.restore", expected, contenders)

    def _incremental(
        self, disk: Disk, changed: Sequence[Extent], ours: Xenkeep, contenders: Sequence[Contender]
    ) -> None:
        disks.sha256(disk.image)
        before = _files(ours.stored)
        for each in contenders:
            self._take("dense.incremental", each, partial(each.incremental, disk, changed))
        self.samples.number("changed_bytes", sum(extent.length for extent in changed))
        self.samples.number("compressed_changed_bytes", _compressed(disk.image, changed))
        self.samples.number("read_bytes", ours.facts["read_bytes"])
        self.samples.number("stored_bytes", _added(before, ours.stored))

    def _restore(self, step: str, expected: str, contenders: Sequence[Contender]) -> None:
        for each in contenders:
            with self._folder() as folder:
                self._take(step, each, partial(each.restore, folder))
                _require_right(each, folder, expected)

    def _restore_cold(self, step: str, expected: str, contenders: Sequence[Contender]) -> None:
        """As days later: no repository is in the page cache; done when the image is on the disk."""

        def work(who: Contender, folder: Path) -> Cost:
            cost = who.restore(folder)
            started = time.perf_counter()
            disks.settle(who.restored(folder))
            return replace(cost, seconds=cost.seconds + time.perf_counter() - started)

        for each in contenders:
            for file in _files(each.stored):
                disks.evict(file)
            with self._folder() as folder:
                self._take(step, each, partial(work, each, folder))
                _require_right(each, folder, expected)

    def _floor(self, disk: Disk) -> None:
        def work(*arguments: str) -> Cost:
            return run_ours([sys.executable, "-m", "tests.bench.floor_work", *arguments])[0]

        image = str(disk.image)
        self._take("dense.full", "floor_transport", lambda: run(disk.nbdcopy("null:")))
        self._take("dense.full", "floor_compute", lambda: work("backup", image))
        with self._folder() as folder:
            target = str(folder / "disk.raw")
            self._take("dense.restore", "floor_compute", lambda: work("restore", image, target))

    def _take(self, step: str, who: Contender | str, work: Callable[[], Cost]) -> None:
        """Do the work when nothing that others wrote here is still on its way to the disk."""
        for file in _files(self.work):
            disks.settle(file)
        cost = work()
        self.samples.cost(step, who if isinstance(who, str) else who.name, cost)
        if isinstance(who, Xenkeep):
            self.samples.cost(step, RUNNING, who.running(cost))

    @contextmanager
    def _contenders(self, repetition: int, peers: Peers) -> Iterator[tuple[Xenkeep, list[Contender]]]:
        """Ours and all, each with an empty folder; whoever was first is last in the next repetition."""
        with self._folder() as folder:
            ours = Xenkeep(_made(folder / "xenkeep"))
            everybody = [ours, *(make(_made(folder / name)) for name, make in peers.items())]
            turn = repetition % len(everybody)
            yield ours, everybody[turn:] + everybody[:turn]

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        number = sum(1 for _ in self.work.iterdir())
        folder = _made(self.work / f"folder-{number}")
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


@contextmanager
def served(image: Path, *, allocated: bool = False) -> Iterator[Disk]:
    """The disk over NBD and TLS; ``allocated``: whoever asks is told which parts of it are no holes."""
    with Nbdkit(image, host_id=image.stem, options=["--exit-with-parent"]) as server:
        yield Disk(image, server, disks.data_extents(image) if allocated else None)


def _require_right(who: Contender, folder: Path, sha256: str) -> None:
    if disks.sha256(who.restored(folder)) != sha256:
        raise _wrong(f"What {who.name} restored is not what it was given.")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _files(path: Path) -> dict[Path, int]:
    """All files in a folder, or the file itself, and their sizes."""
    return {each: each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file()}


def _size(path: Path) -> int:
    return sum(_files(path).values())


def _added(before: Mapping[Path, int], folder: Path) -> int:
    """Bytes of the files that were not there; objects of a repository never change."""
    return sum(size for path, size in _files(folder).items() if path not in before)


def _compressed(image: Path, extents: Sequence[Extent]) -> int:
    compressor = zstandard.ZstdCompressor(level=1)
    with image.open("rb") as file:
        total = 0
        for extent in extents:
            file.seek(extent.offset)
            total += len(compressor.compress(file.read(extent.length)))
    return total


def _wrong(message: str) -> Internal:
    return Internal(message, reason="BENCH_WRONG", hint="No figures are written of a run with wrong output.")
