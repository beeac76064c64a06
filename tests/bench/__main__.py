"""Xenkeep beside restic, Borg, qemu-img and what the machine can do: ``make bench``.

Run: python -m tests.bench --gib 4 --repeat 3 --report build/bench/report.json [--install]
"""

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from services.chassis.errors import FailedPrecondition, XenkeepError
from tests.bench import disks
from tests.bench.chart import chart
from tests.bench.contender import Contender
from tests.bench.course import Course, Peers, Samples, served
from tests.bench.machine import machine, versions
from tests.bench.peers import Borg, QemuImg, Restic
from tests.bench.report import figures
from tests.bench.tools import provide

HUGE = 2 * disks.TIB
HUGE_DATA_SHARE = 16
"""The disk of 2 TiB has one sixteenth of the dense disk's data."""
PEERS: Mapping[str, Callable[..., Contender]] = {"restic": Restic, "borg": Borg, "qemu-img": QemuImg}
KINDS = ("dense", "sparse", "huge")
TREE = Path(sysconfig.get_paths()["stdlib"])


@dataclass(frozen=True, slots=True)
class Plan:
    """``tree`` is copied into the file system of the sparse disk; ``kinds`` of disks, "dense" among them."""

    size_bytes: int
    repetitions: int
    kinds: Sequence[str]
    tree: Path

    @property
    def sparse_bytes(self) -> int:
        """Python's standard library needs some room."""
        return max(self.size_bytes, disks.GIB)


def bench(plan: Plan, report: Path, *, install: bool) -> None:
    """Measure, and write ``report`` anew after each repetition, with ``chart.svg`` beside it.

    Raises what goes wrong.
    """
    skipped = provide(install=install)
    for name, reason in skipped.items():
        print(f"{name} is skipped: {reason}.", file=sys.stderr)
    peers: Peers = {
        f"{name}-{'nbd' if over_nbd else 'raw'}": partial(make, over_nbd=over_nbd)
        for name, make in PEERS.items()
        if name not in skipped
        for over_nbd in (True, False)
    }
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    started, load_before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), os.getloadavg()
    with _work_folder(report.parent.resolve() / "work") as work:
        about = {
            "started_time": started,
            "settings": asdict(plan) | {"tree": plan.tree.name},
            "machine": machine(work),
            "versions": versions(),
            "skipped": skipped,
        }
        for done, samples in enumerate(_measure(work, plan, peers), start=1):
            load = {"before": load_before, "after": os.getloadavg()}
            so_far = about | {"repetitions_done": done, "load_average": load}
            found = figures(samples, plan.size_bytes, plan.sparse_bytes, HUGE)
            report.write_text(json.dumps(so_far | found, indent=2) + "\n")
            report.with_name("chart.svg").write_text(chart(found))


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """An empty folder, afterwards gone. What a run that was killed has left is removed by the next one."""
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(
                f"Another benchmark uses {folder}.",
                reason="BENCH_RUNS",
                hint="Wait for it, or give --report in another folder.",
            ) from None
        if folder.exists():
            print(f"removing what an earlier run left in {folder}", file=sys.stderr)
            shutil.rmtree(folder)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def _measure(work: Path, plan: Plan, peers: Peers) -> Iterator[Samples]:
    """All samples so far, after each repetition."""
    print(f"making disks of {plan.size_bytes / disks.GIB:g} GiB", file=sys.stderr)
    images = {kind: work / f"{kind}.img" for kind in plan.kinds}
    for kind, image in images.items():
        _make(kind, image, plan)
    scratch = work / "scratch"
    scratch.mkdir()
    course = Course(scratch, peers, Samples())
    for repetition in range(plan.repetitions):
        for kind, image in images.items():
            with served(image, allocated=kind != "dense") as disk:
                course.run(kind, disk, repetition)
        yield course.samples


def _make(kind: str, image: Path, plan: Plan) -> None:
    if kind == "dense":
        disks.dense(image, plan.size_bytes)
    elif kind == "sparse":
        disks.sparse_file_system(image, plan.sparse_bytes, plan.tree)
    else:
        disks.huge(image, HUGE, max(disks.MIB, plan.size_bytes // HUGE_DATA_SHARE))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--gib", type=float, default=4.0, help="size of the dense disk, and of the sparse one if at least 1"
    )
    parser.add_argument("--repeat", type=int, default=3, help="repetitions, of which the median is reported")
    parser.add_argument("--report", type=Path, default=Path("build/bench/report.json"))
    parser.add_argument("--tree", type=Path, default=TREE, help="what the sparse file system holds")
    parser.add_argument("--disks", default=",".join(KINDS), help="which disks; the dense one must be there")
    parser.add_argument("--install", action="store_true", help="as root, install missing programs")
    asked = parser.parse_args(arguments)
    kinds = asked.disks.split(",")
    if "dense" not in kinds or not set(kinds) <= set(KINDS) or asked.repeat < 1 or asked.gib < 1 / 64:
        parser.error("--disks are of dense, sparse and huge; at least 1 repetition and 0.016 GiB are needed")
    bench(
        Plan(round(asked.gib * 1024) * disks.MIB, asked.repeat, kinds, asked.tree),
        asked.report,
        install=asked.install,
    )
    print(f"The figures are in {asked.report}.")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended by SIGTERM."))
    try:
        main()
    except XenkeepError as error:
        sys.exit(f"{error.message} {error.hint}")
