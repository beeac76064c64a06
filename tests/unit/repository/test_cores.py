"""How many threads a mover has, on machines and in containers of any size."""

import os
from pathlib import Path

import pytest

from services.mover.repository import BackupOptions, RestoreOptions
from services.mover.repository.cores import threads, usable_cores


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 64), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 64)],
)
def test_a_container_has_the_cores_of_its_quota(
    machine: None, tmp_path: Path, quota: str, cores: int
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores == usable_cores(tmp_path / "cpu.max")


def test_without_a_quota_the_affinity_counts(machine: None, tmp_path: Path) -> None:
    assert 64 == usable_cores(tmp_path / "cpu.max")


def test_a_large_machine_does_not_get_threads_that_only_cost_memory(machine: None) -> None:
    assert 16 >= BackupOptions().workers
    assert 16 >= RestoreOptions().workers
    assert 6 >= threads(most=6)


def test_who_waits_for_a_store_has_threads_to_spare() -> None:
    assert min(usable_cores() + 2, 16) == threads(waiting=2)
