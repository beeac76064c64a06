"""The figures of a run: medians of its repetitions."""

from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from tests.bench.course import RUNNING, Samples
from tests.bench.disks import GIB, MIB
from tests.bench.peers import RAW_FILE
from tests.bench.process import Cost

OURS = "xenkeep"
RIVALS = ("restic", "borg")
PEERS = (*RIVALS, "qemu_img")
CONTENDERS = (OURS, RUNNING, *PEERS, *(peer + RAW_FILE for peer in PEERS))
Figures = dict[str, Any]


def figures(samples: Samples, dense_bytes: int, sparse_bytes: int, huge_bytes: int) -> Figures:
    """Sizes of the disks in bytes. Null is what was not measured."""
    full = samples.costs["dense.full"][OURS]
    running = samples.costs["dense.full"][RUNNING]
    dense = _Speeds(samples, "dense", dense_bytes)
    verify = _seconds(samples, "dense.verify", OURS)
    verified = _middle(samples, "verify_stored_bytes")
    return {
        "full": dense.of("full") | {"stored_bytes": dense.stored()},
        "restore": dense.of("restore"),
        "restore_cold": dense.of("restore_cold"),
        "incremental": _incremental(samples),
        "sparse": _sparse(samples, sparse_bytes) if "sparse.full" in samples.costs else None,
        "verify_mib_s": _ratio(verified / MIB, verify),
        "peak_rss_mib": max(cost.peak_rss_bytes for cost in _all_of_ours(samples)) / MIB,
        "peak_rss_full_mib": max(cost.peak_rss_bytes for cost in full) / MIB,
        "cpu_seconds_per_gib": median(cost.cpu_seconds for cost in running) * GIB / dense_bytes,
        "cpu_seconds_per_gib_cold": median(cost.cpu_seconds for cost in full) * GIB / dense_bytes,
        "index_bytes_per_tib": _middle(samples, "index_bytes_per_tib"),
        "index_cache_bytes_per_tib": _middle(samples, "index_cache_bytes_per_tib"),
        "prune_seconds": _seconds(samples, "dense.prune", RUNNING),
        "no_change_2tib": _no_change(samples, huge_bytes) if "huge.no_change" in samples.costs else None,
        "samples": {
            "costs": {
                step: {who: [asdict(cost) for cost in costs] for who, costs in by_who.items()}
                for step, by_who in samples.costs.items()
            },
            "numbers": samples.numbers,
        },
    }


class _Speeds:
    """MiB of the disk per second."""

    def __init__(self, samples: Samples, disk: str, size_bytes: int) -> None:
        self._samples = samples
        self._disk = disk
        self._size = size_bytes / MIB

    def of(self, step: str) -> Figures:
        key = f"{self._disk}.{step}"
        speeds = {who: self._speed(key, who) for who in CONTENDERS}
        ours = speeds[OURS]
        result: Figures = {f"{who}_mib_s": speed for who, speed in speeds.items()}
        for source in ("", RAW_FILE):
            rivals = [speed for who in RIVALS if (speed := speeds[who + source]) is not None]
            result["ratio_best_peer" + source] = _ratio(ours, max(rivals, default=None))
            result["ratio_qemu_img" + source] = _ratio(ours, speeds["qemu_img" + source])
        floors = {who: self._speed(key, who) for who in ("floor_transport", "floor_compute")}
        known = [speed for speed in floors.values() if speed is not None]
        if not known:
            return result
        lowest, in_turn = min(known), 1 / sum(1 / speed for speed in known)
        result |= {f"{who}_mib_s": speed for who, speed in floors.items()}
        result |= {"floor_mib_s": lowest, "ratio_floor": _ratio(ours, lowest)}
        return result | {"floor_in_turn_mib_s": in_turn, "ratio_floor_in_turn": _ratio(ours, in_turn)}

    def stored(self) -> Mapping[str, float | None]:
        prefix = f"{self._disk}.stored_bytes."
        numbers = self._samples.numbers
        return {who: median(numbers[prefix + who]) if prefix + who in numbers else None for who in CONTENDERS}

    def _speed(self, key: str, who: str) -> float | None:
        return _ratio(self._size, _seconds(self._samples, key, who))


def _incremental(samples: Samples) -> Figures:
    """``seconds`` of a mover that has the repository open, ``_cold``: of one that must unlock it first."""
    changed, read, stored = (
        _middle(samples, name) for name in ("changed_bytes", "read_bytes", "stored_bytes")
    )
    seconds = {who: _seconds(samples, "dense.incremental", who) for who in CONTENDERS}
    result = {
        "changed_bytes": changed,
        "read_bytes": read,
        "stored_bytes": stored,
        "read_amplification": read / changed,
        "stored_amplification": stored / _middle(samples, "compressed_changed_bytes"),
        "stored_per_changed_byte": stored / changed,
        "seconds": seconds[RUNNING],
        "seconds_cold": seconds[OURS],
        "peer_seconds": {who: each for who, each in seconds.items() if who not in (OURS, RUNNING)},
    }
    for source in ("", RAW_FILE):
        best = min((each for who in RIVALS if (each := seconds[who + source]) is not None), default=None)
        for cold, ours in (("", RUNNING), ("_cold", OURS)):
            result[f"ratio_best_peer{source}{cold}"] = _ratio(best, seconds[ours])
            result[f"ratio_qemu_img{source}{cold}"] = _ratio(seconds["qemu_img" + source], seconds[ours])
    return result


def _sparse(samples: Samples, size: int) -> Figures:
    speeds = _Speeds(samples, "sparse", size)
    return {
        "disk_bytes": size,
        "full": speeds.of("full") | {"stored_bytes": speeds.stored()},
        "restore": speeds.of("restore"),
    }


def _no_change(samples: Samples, size: int) -> Figures:
    return {
        "disk_bytes": size,
        "seconds": _seconds(samples, "huge.no_change", RUNNING),
        "seconds_cold": _seconds(samples, "huge.no_change", OURS),
        "written_bytes": _middle(samples, "no_change_written_bytes"),
    }


def _all_of_ours(samples: Samples) -> list[Cost]:
    return [cost for by_who in samples.costs.values() for cost in by_who.get(OURS, ())]


def _seconds(samples: Samples, step: str, who: str) -> float | None:
    costs = samples.costs.get(step, {}).get(who)
    return median(cost.seconds for cost in costs) if costs else None


def _middle(samples: Samples, name: str) -> float:
    return median(samples.numbers[name])


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
