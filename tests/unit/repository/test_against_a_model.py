"""Random sequences of backups against a model that is a dictionary of bytes."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.mover.repository import MemoryStore, Repository
from tests.unit.repository.world import BLOCK, back_up, new_repository, noise, reopen, restored

_CHUNK = 4 * BLOCK
_START_BLOCKS = 24

Change = tuple[int, int, int]
changes = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6), st.integers(0, 3)), max_size=6)
steps = st.lists(st.tuples(changes, st.integers(0, 3), st.booleans()), min_size=1, max_size=8)


def _apply(content: bytes, changed: list[Change], grow: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Blocks filled from a small alphabet, zero among it, so that holes, folds and duplicates happen."""
    result = bytearray(content + bytes(grow * BLOCK // 2))
    extents = [(len(content), grow * BLOCK // 2)] if grow else []
    for first, count, fill in changed:
        start = first * BLOCK
        end = min(start + count * BLOCK, len(result))
        if start < end:
            result[start:end] = bytes(end - start) if not fill else noise(BLOCK, fill) * count
            del result[max(len(content) + grow * BLOCK // 2, 0) :]
            extents.append((start, end - start))
    return bytes(result), extents


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_every_point_of_any_history_restores_what_was_backed_up(
    history: list[tuple[list[Change], int, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = MemoryStore()
        repository = new_repository(store, Path(folder), chunk_bytes=_CHUNK, pack_bytes=16 * BLOCK)
        model: dict[str, bytes] = {}
        content = noise(_START_BLOCKS * BLOCK)[: _START_BLOCKS * BLOCK - 512]
        try:
            for number, (changed, grow, full) in enumerate(history):
                content, extents = _apply(content, changed, grow)
                base = None if full or not model else f"p{number - 1}"
                back_up(repository, f"p{number}", content, base=base, changed=extents if base else None)
                model[f"p{number}"] = content
            _assert_model(repository, model)
            repository.close()
            repository = reopen(store, Path(folder) / "clean")
            repository.rebuild_index()
            _assert_model(repository, model)
            assert repository.verify(full=True).findings == ()
        finally:
            repository.close()


def _assert_model(repository: Repository, model: dict[str, bytes]) -> None:
    assert repository.list_points() == sorted(model)
    for point, content in model.items():
        assert restored(repository, point) == content
        middle = len(content) // 2
        assert repository.read_disk(point, "d", middle, BLOCK + 3) == content[middle : middle + BLOCK + 3]
