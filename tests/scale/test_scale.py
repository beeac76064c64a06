"""Four parts in a thousand of ``make scale-repository``: every step works, in little memory."""

from pathlib import Path

import pytest

from tests.scale.__main__ import measure
from tests.scale.curve import curve
from tests.scale.shape import Shape
from tests.scale.work import Place

_MOST_MIB = 120


@pytest.mark.scenario(48)
def test_every_step_is_measured_and_stays_within_its_memory(tmp_path: Path) -> None:
    shape = Shape(chunks=40_000, points=100, disks=10)
    found = measure(Place(tmp_path / "place", shape))
    assert found["list_points"]["points"] == shape.points
    assert found["delete"]["deleted_points"] == shape.disks
    assert found["prune"]["deleted_packs"] > found["prune"]["merged_packs"]
    assert found["prune"]["merged_packs"] > 64
    assert found["prune_nothing"]["deleted_packs"] == 0
    assert found["open_clean"]["cache_bytes"] < 100 * (shape.chunks + 10_000)
    assert {step for step, figures in found.items() if figures["peak_rss_mib"] > _MOST_MIB} == set()
    assert curve([{"chunks": shape.chunks, "points": shape.points, "steps": found}]).startswith("<svg")


@pytest.mark.parametrize(
    "shape", [Shape(4_000, 20, 10), Shape(10_000_000, 10_000, 100), Shape(100, 100, 100)]
)
def test_a_shape_adds_up(shape: Shape) -> None:
    changed = [shape.changed(generation) for generation in range(1, 4)] if shape.incrementals else []
    made = shape.disks * shape.disk_chunks + shape.incrementals * shape.changed_chunks
    assert 0.9 * shape.chunks <= made <= shape.chunks
    for chunks in changed:
        assert chunks == sorted(set(chunks))
        assert len(chunks) == shape.changed_chunks
        assert chunks[-1] < shape.disk_chunks
