"""Xenkeep: NBD over TLS into a repository in a directory, by the mover's own code."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from services.mover.repository import Extent
from tests.bench.contender import Disk
from tests.bench.mover_work import Order
from tests.bench.process import Cost, run_ours


class Xenkeep:
    """See ``Contender``. ``facts`` are those of the last command, ``stored`` is the repository."""

    name = "xenkeep"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._points = 0
        self._size = 0
        self.stored = home / "repository"
        self.cache = home / "cache"
        self.facts: dict[str, Any] = {}

    def full(self, disk: Disk) -> Cost:
        self._run("create")
        return self._backup(disk, None, disk.allocated)

    def incremental(self, disk: Disk, changed: Sequence[Extent]) -> Cost:
        return self._backup(disk, f"point-{self._points}", changed)

    def restore(self, folder: Path) -> Cost:
        return self._run("restore", size=self._size, target=str(self.restored(folder)))

    def restored(self, folder: Path) -> Path:
        return folder / "disk.raw"

    def verify(self) -> Cost:
        """Every object of the repository, decoded."""
        return self._run("verify")

    def prune(self) -> Cost:
        """The first point goes, and what only it needed."""
        return self._run("prune", point="point-1")

    def running(self, cost: Cost) -> Cost:
        """The part of the last command's cost that a mover has whose repository is open already."""
        seconds = cost.seconds - self.facts["opening_seconds"]
        cpu_seconds = self.facts["cpu_seconds"] - self.facts["opening_cpu_seconds"]
        return replace(cost, seconds=seconds, cpu_seconds=cpu_seconds)

    def _backup(self, disk: Disk, base: str | None, extents: Sequence[Extent] | None) -> Cost:
        self._points += 1
        self._size = disk.size_bytes
        endpoint = disk.server.endpoint
        return self._run(
            "backup",
            size=self._size,
            port=endpoint.port,
            certificate=endpoint.certificate_pem,
            base=base,
            extents=None if extents is None else [[each.offset, each.length] for each in extents],
        )

    def _run(self, verb: str, **wanted: Any) -> Cost:
        wanted = {"point": f"point-{self._points}"} | wanted
        order = Order(verb, str(self.stored), str(self.cache), **wanted)
        file = self._home / "order.json"
        file.write_text(json.dumps(asdict(order)))
        cost, self.facts = run_ours([sys.executable, "-m", "tests.bench.mover_work", str(file)])
        return cost
