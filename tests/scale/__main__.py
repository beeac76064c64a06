"""What ten million chunks and ten thousand points cost: ``make scale-repository``.

Run: python -m tests.scale --chunks 100000,1000000,10000000 --points 10000 --report build/scale/report.json
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.scale.curve import curve
from tests.scale.shape import Shape
from tests.scale.work import STEPS, Place

_DISK_CHUNKS: Final = 100_000
"""A disk for so many, changes included."""


def measure(place: Place) -> dict[str, Any]:
    """Every step in turn; raises CalledProcessError when one fails."""
    place.write()
    found: dict[str, Any] = {}
    for step in STEPS:
        print(f"{place.shape.chunks} chunks, {place.shape.points} points: {step}", file=sys.stderr)
        command = [sys.executable, "-m", "tests.scale.work", step, str(place.folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found[step] = json.loads(done.stdout)
        print(f"  {json.dumps(found[step])}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--chunks", default="100000,1000000,10000000", help="sizes, separated by commas")
    parser.add_argument("--points", type=int, default=10_000, help="of the largest size")
    parser.add_argument("--report", type=Path, default=Path("build/scale/report.json"))
    parser.add_argument("--chart", type=Path, help="where to put the curve, an SVG file")
    chosen = parser.parse_args()
    report: list[dict[str, Any]] = []
    sizes = sorted(map(int, chosen.chunks.split(",")))
    for chunks in sizes:
        disks = max(1, chunks // _DISK_CHUNKS)
        points = max(disks, chosen.points * chunks // max(sizes))
        shape = Shape(chunks, points, disks)
        folder = Path(tempfile.mkdtemp(prefix="xenkeep-scale-"))
        try:
            found = measure(Place(folder / "place", shape))
        finally:
            shutil.rmtree(folder)
        report.append({"chunks": chunks, "points": points, "packs": shape.packs, "steps": found})
        chosen.report.parent.mkdir(parents=True, exist_ok=True)
        chosen.report.write_text(json.dumps(report, indent=2) + "\n")
    if chosen.chart is not None:
        chosen.chart.write_text(curve(report))


if __name__ == "__main__":
    main()
