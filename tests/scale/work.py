"""One step of the measurement, in a process of its own: ``python -m tests.scale.work STEP PLACE``."""

import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from services.mover.repository import PruneOptions, Repository, create_repository, open_repository
from services.mover.repository.context import Context
from services.mover.repository.pointcheck import PointChecker
from tests.scale.build import Builder
from tests.scale.hollow_store import PACK_BYTES, HollowStore
from tests.scale.shape import MIB, Shape
from tests.unit.repository.world import PASSPHRASE, QUICK

_LOOKUPS: Final = 20_000
NOW: Final = PruneOptions(grace_seconds=0, patience_seconds=0, repack_below=0.0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a simulated repository is, and its shape."""

    folder: Path
    shape: Shape

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def store(self, *, create: bool = False) -> HollowStore:
        return HollowStore(self.folder / "store", self.shape.packs, self.folder / "gone", create=create)

    def opened(self, store: HollowStore) -> Repository:
        return open_repository(store, PASSPHRASE, self.cache)

    @classmethod
    def read(cls, folder: Path) -> "Place":
        return cls(folder, Shape(**json.loads((folder / "shape.json").read_text())))

    def write(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "shape.json").write_text(json.dumps(asdict(self.shape)))


def build(place: Place) -> dict[str, Any]:
    """The key slots are cheap to open: their memory would hide everybody else's."""
    repository, _ = create_repository(
        place.store(create=True), PASSPHRASE, place.cache, chunk_bytes=MIB, pack_bytes=PACK_BYTES, cost=QUICK
    )
    with repository:
        Builder(repository, place.shape).run()
    return {"index_bytes": _size(place.folder / "store" / "index"), "meta_bytes": _meta(place)}


def open_clean(place: Place) -> dict[str, Any]:
    """On a machine that has no cache."""
    for file in place.cache.iterdir():
        file.unlink()
    place.opened(place.store()).close()
    return {"cache_bytes": _size(place.cache)}


def open_again(place: Place) -> dict[str, Any]:
    place.opened(place.store()).close()
    return {}


def look_up(place: Place) -> dict[str, Any]:
    """Chunks here and there, and as many that nobody has; each is asked for alone, as a backup does."""
    with place.opened(place.store()) as repository:
        index = _context(repository).index
        known = [id_ for id_, _, _ in _some(index.copies(), _LOOKUPS, place.shape.chunks)]
        rest = random.Random(1)
        unknown = [rest.randbytes(32) for _ in known]
        begun = time.perf_counter()
        assert all(index.find([id_]) for id_ in known)
        between = time.perf_counter()
        assert not any(index.find([id_]) for id_ in unknown)
        ended = time.perf_counter()
    return {
        "known_microseconds": (between - begun) / len(known) * 1e6,
        "unknown_microseconds": (ended - between) / len(known) * 1e6,
    }


def list_points(place: Place) -> dict[str, Any]:
    with place.opened(place.store()) as repository:
        return {"points": len(repository.list_points())}


def plan_verification(place: Place) -> dict[str, Any]:
    """Every point's map walked, and every chunk of it looked up: all of a verification but its reading."""
    with place.opened(place.store()) as repository, PointChecker(_context(repository), set()) as checker:
        damaged = [point_id for point_id in repository.list_points() if checker.culprits(point_id)]
    assert not damaged, damaged
    return {}


def plan_restore(place: Place) -> dict[str, Any]:
    """What a restore of the largest disk does before it reads: its whole map, and where every chunk lies."""
    with place.opened(place.store()) as repository:
        point_id = repository.list_points()[-1]
        repository.require_restorable(point_id)
    return {}


def delete(place: Place) -> dict[str, Any]:
    """The newest point of each disk, whose packs nobody else needs."""
    with place.opened(place.store()) as repository:
        going = {point_id.rpartition("-")[0]: point_id for point_id in repository.list_points()}
        for point_id in going.values():
            repository.delete_point(point_id, keep=0, purge=True)
    return {"deleted_points": len(going)}


def prune(place: Place) -> dict[str, Any]:
    store = place.store()
    with place.opened(store) as repository:
        report = repository.prune(NOW)
    store.save()
    return {
        "deleted_packs": report.deleted_packs,
        "deleted_bytes": report.deleted_bytes,
        "merged_packs": report.repacked_packs,
        "stored_bytes": report.stored_bytes,
    }


def prune_nothing(place: Place) -> dict[str, Any]:
    return prune(place)


STEPS: Final[Mapping[str, Callable[[Place], dict[str, Any]]]] = {
    step.__name__: step
    for step in (
        build,
        open_clean,
        open_again,
        look_up,
        list_points,
        plan_restore,
        plan_verification,
        delete,
        prune,
        prune_nothing,
    )
}


def _context(repository: Repository) -> Context:
    return repository._context


def _some(items: Any, wanted: int, all_: int) -> Any:
    step = max(1, all_ // wanted)
    return (item for number, item in enumerate(items) if number % step == 0)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _meta(place: Place) -> int:
    return _size(place.folder / "store" / "packs" / "meta")


def _status(name: str) -> int:
    return int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0])


def main(step: str, folder: Path) -> None:
    place = Place.read(folder)
    begun, cpu = time.perf_counter(), time.process_time()
    found = STEPS[step](place)
    found["seconds"] = time.perf_counter() - begun
    found["cpu_seconds"] = time.process_time() - cpu
    found["peak_rss_mib"] = _status("VmHWM") / 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
